extension SegmentTable {
    /// How far a segment is from being taken again.
    enum Phase: UInt8 {
        /// Something in it is live, is being read or written, or stands in the way for good.
        case busy
        /// Waits for the roots that need its records or pages to be replaced, and maybe for a commit too.
        case awaitsRoot
        /// Waits only for the commit that its last death belongs to.
        case awaitsCommit
        /// Can be taken.
        case ready
    }

    /// The segments that are not busy, by what they wait for, each queue in the order of what its segments wait for;
    /// those that can be taken, by how old their history is.
    struct Reuse {
        /// The last acknowledged commit.
        var durable = SequenceNumber(0)
        /// The commit of the older root.
        var olderRoot = SequenceNumber(0)
        var awaitsRoot = SegmentQueue()
        var awaitsCommit = SegmentQueue()
        var readyBacked = SegmentQueue()
        var readyUnbacked = SegmentQueue()
        /// How many segments are in each phase.
        var counts = [0, 0, 0, 0]
        /// How many of those the host has given its space for.
        var backedCounts = [0, 0, 0, 0]
    }

    /// Whether the segment could be taken once commits and roots have moved on.
    @inline(__always)
    private func isIdle(_ entry: SegmentEntry, _ state: Volatile) -> Bool {
        entry.live == 0 && entry.pins == 0 && state.readers == 0 && state.recordsInMemory == 0
            && (state.pages == 0 || Sabotage.isOn(.reusePages))
            && (!state.isHeld || Sabotage.isOn(.reuseHeldSegments)) && state.keep.isEmpty
            && entry.state != .damaged && entry.generation.rawValue < UInt32.max
    }

    /// The root commit that must be reached on both slots before the segment's records and pages are past need.
    @inline(__always)
    private func rootNeed(_ entry: SegmentEntry, _ state: Volatile) -> SequenceNumber {
        // What dies in the stream of pages dies with the root of that commit, not with the commit.
        let last = max(entry.lastRecord, state.pagesDiedAt, state.neededUntil)
        return entry.stream == .meta ? max(last, entry.lastDeath) : last
    }

    /// Whether the segment's blocks, records and pages are all past need (I7).
    func isReusable(_ segment: UInt32, durable: SequenceNumber, olderRoot: SequenceNumber) -> Bool {
        let entry = entries[Int(segment)], state = volatile[Int(segment)]
        return isIdle(entry, state) && entry.lastDeath <= durable && rootNeed(entry, state) <= olderRoot
    }

    /// Whether nothing and nobody needs what is in the segment, so that it may be cut off.
    func isPastNeed(_ segment: UInt32) -> Bool {
        var entry = entries[Int(segment)], state = volatile[Int(segment)]
        state.keep.remove(.resize)
        // Given up by the cleaner, emptied by the client; never taken again, or used as often as can be.
        if entry.state == .damaged { entry.state = .used }
        entry.generation = Generation(0)
        return phase(entry, state).0 == .ready
    }

    func isBacked(_ segment: UInt32) -> Bool { volatile[Int(segment)].isBacked }
    func isBackingAssumed(_ segment: UInt32) -> Bool { volatile[Int(segment)].isBackingAssumed }

    /// Whether the segment holds nothing and has its space.
    func isReturnable(_ segment: UInt32) -> Bool {
        let state = volatile[Int(segment)]
        return state.isBacked
            && (state.phase == .ready || Sabotage.isOn(.liveSegmentReturned) && state.isSettled)
    }

    /// How many segments have come as far as `phase`: all of them can be taken once nothing waits for what it waits for.
    func count(from phase: Phase, backedOnly: Bool = false) -> Int {
        (backedOnly ? reuse.backedCounts : reuse.counts)[Int(phase.rawValue)...].reduce(0, +)
    }

    /// The segment to take: a fresh one first, then the one whose history is oldest.
    func best() -> UInt32? {
        let backed = reuse.readyBacked.first(isCurrent: isCurrent)
        let unbacked = reuse.readyUnbacked.first(isCurrent: isCurrent)
        guard let backed, let unbacked else { return (backed ?? unbacked)?.segment }
        return (backed < unbacked ? backed : unbacked).segment
    }

    /// The best of those whose space the host has given.
    func bestBacked() -> UInt32? { reuse.readyBacked.first(isCurrent: isCurrent)?.segment }
    /// The best of those whose space it has not.
    func bestUnbacked() -> UInt32? { reuse.readyUnbacked.first(isCurrent: isCurrent)?.segment }

    /// Commits were acknowledged or roots written: lets go of what waited for them.
    func advance(durable: SequenceNumber, olderRoot: SequenceNumber) {
        precondition(durable >= reuse.durable && olderRoot >= reuse.olderRoot, "commits and roots only advance")
        reuse.durable = durable
        reuse.olderRoot = olderRoot
        while let item = reuse.awaitsRoot.first(isCurrent: isCurrent), item.key <= olderRoot.rawValue {
            reuse.awaitsRoot.removeFirst()
            requeue(item.segment)
        }
        while let item = reuse.awaitsCommit.first(isCurrent: isCurrent), item.key <= durable.rawValue {
            reuse.awaitsCommit.removeFirst()
            requeue(item.segment)
        }
        releaseDeferred()
    }

    /// Brings the segment's phase up to date.
    @inline(__always)
    func indexReuse(_ segment: UInt32) {
        let state = volatile[Int(segment)]
        if state.phase != .busy || isIdle(entries[Int(segment)], state) { requeue(segment) }
    }

    private func requeue(_ segment: UInt32) {
        let entry = entries[Int(segment)], state = volatile[Int(segment)]
        let (phase, key) = phase(entry, state)
        if phase == state.phase, key == state.queuedKey, state.isBacked == state.isQueuedBacked { return }
        leave(segment)
        enter(segment, phase, key)
    }

    /// The phase that a segment should be in, and its key in that phase's queue.
    func phase(_ entry: SegmentEntry, _ state: Volatile) -> (Phase, key: UInt64) {
        guard isIdle(entry, state) else { return (.busy, 0) }
        let need = rootNeed(entry, state)
        if need > reuse.olderRoot, !Sabotage.isOn(.reuseBeforeRoot) { return (.awaitsRoot, need.rawValue) }
        if entry.lastDeath > reuse.durable, !Sabotage.isOn(.reuseBeforeCommit) {
            return (.awaitsCommit, entry.lastDeath.rawValue)
        }
        let key = entry.state == .neverUsed ? 0 : max(entry.lastDeath, entry.lastRecord).rawValue + 1
        return (.ready, Sabotage.takesYoungest ? .max - key : key)
    }

    private func leave(_ segment: UInt32) {
        let state = volatile[Int(segment)]
        guard state.phase != .busy else { return }
        reuse.counts[Int(state.phase.rawValue)] -= 1
        if state.isQueuedBacked { reuse.backedCounts[Int(state.phase.rawValue)] -= 1 }
        volatile[Int(segment)].phase = .busy
        volatile[Int(segment)].stamp &+= 1
    }

    private func enter(_ segment: UInt32, _ phase: Phase, _ key: UInt64) {
        let isBacked = volatile[Int(segment)].isBacked
        volatile[Int(segment)].phase = phase
        volatile[Int(segment)].queuedKey = key
        volatile[Int(segment)].isQueuedBacked = isBacked
        guard phase != .busy else { return }
        reuse.counts[Int(phase.rawValue)] += 1
        if isBacked { reuse.backedCounts[Int(phase.rawValue)] += 1 }
        let item = SegmentQueue.Item(key: key, segment: segment, stamp: volatile[Int(segment)].stamp)
        switch phase {
        case .busy: return
        case .awaitsCommit: reuse.awaitsCommit.insert(item, isCurrent: isCurrent)
        case .awaitsRoot: reuse.awaitsRoot.insert(item, isCurrent: isCurrent)
        case .ready where isBacked: reuse.readyBacked.insert(item, isCurrent: isCurrent)
        case .ready: reuse.readyUnbacked.insert(item, isCurrent: isCurrent)
        }
    }

    private func isCurrent(_ item: SegmentQueue.Item) -> Bool {
        volatile[Int(item.segment)].stamp == item.stamp && volatile[Int(item.segment)].phase != .busy
    }

    func checkReuse() {
        var counts = [0, 0, 0, 0]
        var backedCounts = counts
        var fresh: [UInt32: UInt32] = [:]
        for queue in [reuse.awaitsCommit, reuse.awaitsRoot, reuse.readyBacked, reuse.readyUnbacked] {
            for item in queue.heap where isCurrent(item) { fresh[item.segment, default: 0] += 1 }
        }
        for segment in 0..<UInt32(count) {
            let state = volatile[Int(segment)]
            let (phase, key) = phase(entries[Int(segment)], state)
            precondition(phase == state.phase, "segment \(segment) is \(phase), kept as \(state.phase)")
            precondition(
                (phase == .ready) == isReusable(segment, durable: reuse.durable, olderRoot: reuse.olderRoot))
            precondition(fresh[segment, default: 0] == (phase == .busy ? 0 : 1), "segment \(segment) in a queue")
            guard phase != .busy else { continue }
            precondition(key == state.queuedKey && state.isBacked == state.isQueuedBacked)
            counts[Int(phase.rawValue)] += 1
            if state.isBacked { backedCounts[Int(phase.rawValue)] += 1 }
        }
        precondition(counts == reuse.counts && backedCounts == reuse.backedCounts)
    }
}
