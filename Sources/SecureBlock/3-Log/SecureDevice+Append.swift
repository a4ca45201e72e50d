// Appending: slots of the open record, sealing in order, the way to the host. Everything here runs with the monitor
// held, but for what its name says.

extension SecureDevice {
    /// Gives out up to `wanted` slots of the stream's open record.
    func reserve(_ id: StreamID, _ wanted: Int, _ allowance: Allowance) throws(DeviceError)
        -> (record: RecordBuffer, slot: Int, count: Int)
    {
        let index = Int(id.rawValue)
        // Else every commit that enters a segment would let data fill it, until commits find none.
        if allowance == .data, log.streams[index].isForCommits {
            try askFullHost()
            guard reusableNow > reserved(.data) else { throw .noSpace }
            log.isHistoryInTheWay = table.best().map { isKept(table.historyEnd($0)) } ?? false
            guard !log.isHistoryInTheWay else { throw .noSpace }
            log.streams[index].isForCommits = false
        }
        if let open = log.streams[index].open, open.room == 0 { try closeOpen(id) }
        if log.streams[index].open == nil { try beginRecord(id, needsRoom: true, allowance) }
        guard let open = log.streams[index].open else { preconditionFailure("a record was begun") }
        let count = min(wanted, open.room)
        return (open, open.reserve(count), count)
    }

    /// Opens a new record at the stream's position, in its next segment when this one is at its end.
    func beginRecord(_ id: StreamID, needsRoom: Bool, _ allowance: Allowance) throws(DeviceError) {
        let index = Int(id.rawValue)
        let blocks = context.geometry.segmentBlocks
        if Int(log.streams[index].at.block) + (needsRoom ? 2 : 1) > blocks {
            try enterNextSegment(id, allowance)
        }
        let stream = log.streams[index]
        let record =
            log.takeRetired(keeping: options.recentRecords)
            ?? RecordBuffer(capacity: context.geometry.recordBlocks - 1, from: &log.shelf)
        record.begin(
            id, at: stream.at, stream.generation, epochIndex: log.epochIndex, next: stream.next,
            segmentBlocks: blocks)
        table.recordBegan(stream.at.segment)
        log.streams[index].open = record
    }

    /// Leaves the stream's segment for the announced one, and reserves another to announce. All its records are closed.
    func enterNextSegment(_ id: StreamID, _ allowance: Allowance) throws(DeviceError) {
        let index = Int(id.rawValue)
        // The next segment is taken before this one is left, so that a failure changes nothing.
        let next = try takeSegment(id, allowance)
        let old = log.streams[index].at.segment
        let entered = log.streams[index].next
        log.streams[index].at = LogPosition(segment: entered.segment, block: 0)
        log.streams[index].generation = entered.generation
        log.streams[index].next = next
        log.streams[index].isForCommits =
            allowance == .metadata && (reusableNow < reserved(.data) || log.isHistoryInTheWay)
        if old != entered.segment { table.setHeld(old, false) }
    }

    /// Takes a segment into use for `id` (I7): generation, epoch and host space are settled before anything is sealed.
    func takeSegment(_ id: StreamID, _ allowance: Allowance) throws(DeviceError) -> SegmentReference {
        if reusableNow <= lowWater {
            if isCommitWorthwhile { log.commitWanted = true }
            cleaningIsDue = true
            monitor.signalWork()
        }
        if maintenance != nil, wantsBacking {
            backingIsDue = true
            monitor.signalWork()
        }
        try askFullHost()
        guard reusableNow > reserved(allowance) else { throw .noSpace }
        if allowance == .data { guard try backSegments() else { throw .noSpace } }
        guard let segment = try backedChoice() else { throw .noSpace }
        var entry = table[segment]
        let end = table.historyEnd(segment)
        log.isHistoryInTheWay = isKept(end)
        if log.isHistoryInTheWay, allowance != .metadata { throw .noSpace }
        if allowance == .data { log.checkpointsAtDataSegment = log.counters.checkpoints }
        log.historyHorizon = max(log.historyHorizon, end)
        if entry.state == .neverUsed { entry.generation = table.cutGeneration }
        // No number is given twice: where they are used up there is no more room.
        guard entry.generation.rawValue < UInt32.max else { throw .noSpace }
        entry.state = .used
        entry.stream = id
        entry.generation = Generation(entry.generation.rawValue + (Sabotage.isOn(.keepGeneration) ? 0 : 1))
        entry.epochIndex = log.epochIndex
        table[segment] = entry
        log.segmentOrder += 1
        table.taken(segment, order: log.segmentOrder)
        return SegmentReference(segment: segment, generation: entry.generation)
    }

    /// Room made on the host's disk is noticed by asking.
    private func askFullHost() throws(DeviceError) {
        if log.hostIsFull, let segment = table.bestUnbacked() { _ = try back(segment) }
    }

    /// Whether a strict policy keeps history that ends at `end`.
    func isKept(_ end: SequenceNumber) -> Bool {
        guard log.retention.policy.isStrict,
            let kept = log.retention.kept(now: options.clock(), logBlocks: log.logBlocks)
        else { return false }
        return end > kept
    }

    /// Ends the stream's open record: it is sealed as soon as all its slots are published.
    func closeOpen(_ id: StreamID, flags: RecordHeader.Flags = []) throws(DeviceError) {
        let index = Int(id.rawValue)
        guard let open = log.streams[index].open else { return }
        open.isClosed = true
        open.flags.formUnion(flags)
        log.streams[index].at.block = open.base.block + 1 + UInt32(open.dataBlocks)
        log.streams[index].open = nil
        log.streams[index].queue.append(open)
        try sealReady(id)
    }

    /// Seals the stream's closed records whose slots are all published, in the order of their places.
    func sealReady(_ id: StreamID) throws(DeviceError) {
        let index = Int(id.rawValue)
        var sealed = false
        while let record = log.streams[index].queue.first, record.pending == 0 {
            log.streams[index].queue.removeFirst()
            try seal(record)
            sealed = true
        }
        if sealed { monitor.broadcast() }
    }

    /// Gives a record its sequence and its place in the chain, settles what it makes live and dead, and sends it off.
    private func seal(_ record: RecordBuffer) throws(DeviceError) {
        let sequence = SequenceNumber(log.last.sequence.rawValue + 1)
        var entries: [RecordEntry] = []
        entries.reserveCapacity(record.slots)
        let dataBlocks = record.dataBlocks
        settleData(record, sequence)
        for slot in 0..<record.slots {
            guard var entry = record.entries[slot] else { preconditionFailure("a slot was never published (I2)") }
            settle(&entry, slot, record, sequence)
            entries.append(entry)
        }
        let physical = context.geometry.physical(record.base)
        var header = RecordHeader(
            dataBlocks: dataBlocks, epoch: log.epoch.identifier, sequence: sequence, position: record.base,
            generation: record.generation, previousTag: log.last.tag, flags: record.flags, stream: record.stream,
            durable: Sabotage.isOn(.claimDurability) ? log.last.sequence : log.durable,
            next: Sabotage.isOn(.announceOwnSegment)
                ? SegmentReference(segment: record.base.segment, generation: record.generation) : record.next,
            timeMilliseconds: options.clock(), rootFloor: log.rootFloor, entries: entries)
        do {
            guard let key = try context.epochs.key(record.epochIndex) else {
                preconditionFailure("the epoch we seal under is in the table")
            }
            try header.seal(into: record.blocks.slice(0, blockBytes), at: physical, key)
        } catch {
            setLatch("sealing record \(sequence.rawValue): \(error)")
            throw .latched("sealing record \(sequence.rawValue): \(error)")
        }
        record.sequence = sequence
        for slot in 0..<record.slots { record.entries[slot] = entries[slot] }
        let isAloneSinceFlush = log.durable == log.last.sequence && log.inFlight.isEmpty
        log.last = Root.Commit(sequence: sequence, tag: header.tag)
        table[record.base.segment].lastRecord = sequence
        if record.flags.contains(.commit) {
            log.ordered.append(log.last)
            log.lastCommit = log.last
            log.counters.commits += 1
        }
        log.counters.logBlocks += UInt64(dataBlocks + 1)
        log.logBlocks += UInt64(dataBlocks + 1)
        log.blocksSinceCheckpoint += dataBlocks + 1
        log.blocksInEpoch += UInt64(dataBlocks + 1)
        // One durable write does the work of write and flush when nothing else waits to become durable (I5).
        record.isDurableWrite =
            record.flags.contains(.commit) && (isAloneSinceFlush || Sabotage.isOn(.durableWriteAlone))
        record.write = context.host.beginWrite(
            at: context.offset(physical), record.stored, durable: record.isDurableWrite)
        if Sabotage.isOn(.changeBufferUnderWrite) { record.blocks.bytes[blockBytes - 1] ^= 1 }
        log.inFlight.append(record)
        reap()
    }

    /// What sealing a slot does to live counts, and to a relocation that lost its race.
    private func settle(
        _ entry: inout RecordEntry, _ slot: Int, _ record: RecordBuffer, _ sequence: SequenceNumber
    ) {
        let own = MapEntry(block: context.geometry.physical(record.position(slot: slot)), slot: slot)
        switch entry.kind {
        case .relocation:
            let block = LogicalBlock(entry.address)
            defer { map.unpin(block) }
            if map.entry(block) == record.replaced[slot] {
                map.set(block, own)
                table.gainLive(record.base.segment)
                lose(record.replaced[slot], sequence)
                log.counters.relocatedBlocks += 1
                log.hasUncommitted = true
            } else {
                entry = RecordEntry(BlockAssociation(.null, address: entry.address), tag: entry.tag)
            }
        case .data, .null, .mapPage, .tablePage, .epochPage, .root, .discard, .lost, .snapshotPage:
            break
        }
    }

    /// As ``settle(_:_:_:_:)``, for a record's data at once: what was written together mostly replaces what lay together.
    private func settleData(_ record: RecordBuffer, _ sequence: SequenceNumber) {
        let gained = record.entries.count { $0?.kind == .data }
        guard gained > 0 else { return }
        // Before the losses: a block may have been replaced within its own record.
        if !Sabotage.isOn(.forgetLiveBlocks) { table.gainLive(record.base.segment, count: UInt32(gained)) }
        var first = MapEntry.none, segment: UInt32?, count: UInt32 = 0
        for slot in 0..<record.slots where record.entries[slot]?.kind == .data && record.replaced[slot].isMapped {
            let entry = record.replaced[slot]
            let next = context.geometry.position(entry.block)?.segment
            if count > 0, next == segment {
                count += 1
            } else {
                if count > 0 { lose(first, sequence, count: count) }
                (first, segment, count) = (entry, next, 1)
            }
        }
        if count > 0 { lose(first, sequence, count: count) }
    }

    /// The block at `entry`, and others in its segment, `count` in all, died with record `sequence`.
    func lose(_ entry: MapEntry, _ sequence: SequenceNumber, count: UInt32 = 1) {
        guard entry.isMapped else { return }
        guard let position = context.geometry.position(entry.block),
            table.loseLive(position.segment, sequence, count: count)
        else {
            setLatch("the map has \(entry.block) in use, the segment table does not")
            return
        }
    }

    /// Lets go of records at the head of the line whose writes have succeeded.
    func reap() {
        while let first = log.inFlight.first, first.hasSucceeded {
            log.inFlight.removeFirst()
            if first.isDurableWrite { log.durable = max(log.durable, first.sequence) }
            retire(first)
        }
    }

    /// A record is on the host: its tags are kept, its buffer is used again.
    func retire(_ record: RecordBuffer) {
        table.recordRetired(record.base.segment)
        if record.stream != .meta, record.dataBlocks > 0 {
            tagCache.insert(
                header: context.geometry.physical(record.base),
                TagCache.Tags(generation: record.generation, tags: record.entries.map { $0?.tag ?? .zero }))
        }
        log.retire(record)
    }
}
