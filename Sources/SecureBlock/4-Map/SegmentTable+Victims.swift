extension SegmentTable {
    /// The segments that the cleaner could empty, those with data and those with pages apart, by how full they are: a list
    /// for each class of fullness, the segment that has been in it longest first.
    ///
    /// A segment changes its class when enough of it died; one that stays long loses little any more. The head of a list
    /// is therefore the oldest of its class in the sense that cost-benefit cleaning asks for (Rosenblum and Ousterhout,
    /// "The Design and Implementation of a Log-Structured File System", 1992).
    struct Victims {
        static let classCount = 256
        static let noClass = UInt16.max
        static let none = UInt32.max

        /// Classes of segments with data first, then those of segments with pages.
        var heads = [UInt32](repeating: none, count: 2 * classCount)
        var tails = [UInt32](repeating: none, count: 2 * classCount)
        var dataCount = 0
        var pageCount = 0
        /// Emptied as far as possible: what they wait for before they may be chosen again.
        var deferred: [(segment: UInt32, until: SequenceNumber)] = []
    }

    /// Blocks that cleaning the segment would have to move, or have a checkpoint write elsewhere.
    @inline(__always)
    func load(_ segment: UInt32) -> Int { Int(entries[Int(segment)].live) + Int(volatile[Int(segment)].pages) }

    /// Whether the cleaner may empty the segment. What a snapshot pins stays, live or not: moving its blocks would free
    /// nothing.
    @inline(__always)
    func isVictim(_ segment: UInt32) -> Bool {
        let state = volatile[Int(segment)]
        return entries[Int(segment)].state == .used && entries[Int(segment)].pins == 0 && !state.isHeld
            && state.recordsInMemory == 0
            && !state.isDeferred && load(segment) > 0
    }

    @inline(__always)
    func victimClass(_ segment: UInt32) -> UInt16 {
        guard isVictim(segment) else { return Victims.noClass }
        let fullness = min(load(segment) * Victims.classCount / segmentBlocks, Victims.classCount - 1)
        return UInt16(entries[Int(segment)].stream == .meta ? Victims.classCount + fullness : fullness)
    }

    @inline(__always)
    func indexVictim(_ segment: UInt32) {
        let wanted = victimClass(segment)
        guard wanted != volatile[Int(segment)].victimClass else { return }
        unlink(segment)
        if wanted != Victims.noClass { append(segment, Int(wanted)) }
    }

    private func unlink(_ segment: UInt32) {
        let state = volatile[Int(segment)]
        guard state.victimClass != Victims.noClass else { return }
        if state.previous == Victims.none {
            victims.heads[Int(state.victimClass)] = state.next
        } else {
            volatile[Int(state.previous)].next = state.next
        }
        if state.next == Victims.none {
            victims.tails[Int(state.victimClass)] = state.previous
        } else {
            volatile[Int(state.next)].previous = state.previous
        }
        volatile[Int(segment)].victimClass = Victims.noClass
        volatile[Int(segment)].next = Victims.none
        volatile[Int(segment)].previous = Victims.none
        countVictim(state.victimClass, -1)
    }

    private func append(_ segment: UInt32, _ index: Int) {
        let tail = victims.tails[index]
        volatile[Int(segment)].victimClass = UInt16(index)
        volatile[Int(segment)].previous = tail
        volatile[Int(segment)].next = Victims.none
        if tail == Victims.none {
            victims.heads[index] = segment
        } else {
            volatile[Int(tail)].next = segment
        }
        victims.tails[index] = segment
        countVictim(UInt16(index), 1)
    }

    private func countVictim(_ index: UInt16, _ sign: Int) {
        if index < UInt16(Victims.classCount) { victims.dataCount += sign } else { victims.pageCount += sign }
    }

    /// The segment with data in the emptiest class, the oldest there: what gives most room for the least work now.
    func emptiestVictim() -> UInt32? {
        victims.heads[..<Victims.classCount].first { $0 != Victims.none }
    }

    /// The segment with the fewest pages, where pages are spread over twice as many segments as would do.
    func pageVictim() -> UInt32? {
        let needed = (Int(livePages) + tablePages) / (segmentBlocks - 1) + 1
        guard victims.pageCount > 2 * needed + 2 else { return nil }
        return victims.heads[Victims.classCount...].first { $0 != Victims.none }
    }

    /// The segment that gives most for its cost in the long run: cold ones are worth emptying while fuller, as what they
    /// give stays free of deaths for long.
    ///
    /// - Parameter limit: fuller ones give too little at any age.
    func worthiestVictim(at now: SequenceNumber, below limit: Int) -> UInt32? {
        var best: UInt32?
        var most = 0.0
        for head in victims.heads[..<Victims.classCount] where head != Victims.none && load(head) < limit {
            let share = Double(load(head)) / Double(segmentBlocks)
            let entry = entries[Int(head)]
            let last = max(entry.lastDeath, entry.lastRecord).rawValue
            let age = Double(now.rawValue > last ? now.rawValue - last : 0) + 1
            let worth = (1 - share) * age / (1 + share)
            if worth > most {
                most = worth
                best = head
            }
        }
        return best
    }

    /// The cleaner has moved what it could: the segment rests until what replaced that is committed, or, where it holds
    /// pages, until roots have passed `sequence`.
    func deferVictim(_ segment: UInt32, until sequence: SequenceNumber) {
        guard !volatile[Int(segment)].isDeferred else { return }
        victims.deferred.append((segment, sequence))
        change(segment) { $0.isDeferred = true }
    }

    /// Ends the rest of segments whose time has come.
    func releaseDeferred() {
        var due: [UInt32] = []
        victims.deferred.removeAll { segment, until in
            let passed = entries[Int(segment)].stream == .meta ? reuse.olderRoot : reuse.durable
            if until < passed { due.append(segment) }
            return until < passed
        }
        for segment in due { change(segment) { $0.isDeferred = false } }
    }

    /// The cleaner left something behind in the segment.
    /// - Returns: how often it has.
    func noteLeftBehind(_ segment: UInt32) -> Int {
        change(segment) { $0.failedEvacuations = min($0.failedEvacuations, 254) + 1 }
        return Int(volatile[Int(segment)].failedEvacuations)
    }

    func checkVictims() {
        var found = 0
        for index in victims.heads.indices {
            var previous = Victims.none
            var segment = victims.heads[index]
            while segment != Victims.none {
                precondition(volatile[Int(segment)].previous == previous && victimClass(segment) == UInt16(index))
                precondition(volatile[Int(segment)].victimClass == UInt16(index))
                found += 1
                previous = segment
                segment = volatile[Int(segment)].next
            }
            precondition(victims.tails[index] == previous)
        }
        precondition(found == victims.dataCount + victims.pageCount)
        precondition(found == (0..<UInt32(count)).count { isVictim($0) }, "a victim is in no list")
        let resting = (0..<UInt32(count)).count { volatile[Int($0)].isDeferred }
        precondition(resting == victims.deferred.count)
    }
}
