// The cleaner: moves what is live out of segments that hold little of it, so that they can be used again.
//
// It runs on the maintenance thread or, inline, on the thread that needs room; one at a time. It never commits (I9): what
// it moved is in the map at once, and the old places come free with the client's next commit and the checkpoint after.

extension SecureDevice {
    /// Victims that one pass takes before others get their turn.
    private static let victimsInPass = 8

    /// Cleans until ``highWater`` is in sight, nothing is worth cleaning, or a pass is over. Call without the monitor.
    /// - Returns: whether anything was moved.
    @discardableResult
    func clean() throws(DeviceError) -> Bool {
        var moved = false
        monitor.locked { isCleaning = true }
        defer {
            monitor.locked {
                isCleaning = false
                monitor.broadcast()
            }
        }
        for _ in 0..<Self.victimsInPass {
            let victim = try monitor.locked { () throws(DeviceError) -> UInt32? in
                try checkWritable()
                guard reusableAfterCheckpoint < highWater, !holdsCleaner else { return nil }
                // Writers wait for the checkpoint, which this thread writes.
                guard checkpoint == nil || reusableNow > reserved(.data) else { return nil }
                return chooseVictim()
            }
            guard let victim else { break }
            do throws(DeviceError) {
                try evacuate(victim)
            } catch .noSpace {
                try monitor.locked { () throws(DeviceError) in try closeOpen(.clean) }
                break
            }
            moved = true
        }
        monitor.locked {
            cleaningIsDue = moved && reusableAfterCheckpoint < highWater
            if isCommitWorthwhile { log.commitWanted = true }
        }
        return moved
    }

    /// The segment to clean next, if it is worth it. Monitor held.
    private func chooseVictim() -> UInt32? {
        let usable = context.geometry.segmentBlocks - 1
        if !map.wantsCheckpoint, let victim = table.pageVictim() { return victim }
        let tooFull = usable - usable / 16
        // When nearly nothing is left, what gives most at once comes first, whatever its age.
        if options.weighsAge, reusableNow > reserved(.cleaning) + 2,
            let victim = table.worthiestVictim(at: log.last.sequence, below: tooFull)
        {
            return victim
        }
        guard let victim = table.emptiestVictim(), table.load(victim) < tooFull else { return nil }
        return victim
    }

    /// Moves everything live out of a segment, found by its record headers. One thread at a time, see
    /// ``maintaining(_:)``.
    func evacuate(_ segment: UInt32) throws(DeviceError) {
        // As a reader: should its last live block die meanwhile, the segment is still not taken under our hands.
        let taken = monitor.locked { () -> (entry: SegmentEntry, load: Int)? in
            // Since it was chosen it may have come free and been taken.
            guard table.isVictim(segment) else { return nil }
            table.addReader(segment)
            return (table[segment], table.load(segment))
        }
        guard let (entry, load) = taken else { return }
        // What it gives back lets data go on, but for a quarter, until no segments are short any more; near the end of what
        // data may take, but for half, so that nobody gets there and waits for a whole pass.
        let share = monitor.locked { reusableAfterCheckpoint > reserved(.data) + 2 ? 3 : 2 }
        let credit = (context.geometry.segmentBlocks - load) * share / 4
        var granted = 0
        defer { monitor.locked { table.removeReader(segment) } }
        let key: SealingKey
        do {
            guard let found = try context.epochs.key(entry.epochIndex) else {
                markDamaged(segment)
                return
            }
            key = found
        } catch { throw .latched("deriving an epoch key: \(error)") }
        let window = SegmentWindow(context, segment: segment)
        let scratch = AlignedBuffer(byteCount: blockBytes)
        var block = 0
        while block < context.geometry.segmentBlocks {
            guard let header = try readHeader(segment, block, entry, key, window, scratch) else { break }
            for (slot, recordEntry) in header.entries.enumerated() where slot < header.dataBlocks {
                let position = LogPosition(segment: segment, block: UInt32(block + 1 + slot))
                switch recordEntry.kind {
                case .data, .relocation:
                    try relocate(recordEntry, position, slot, entry, key, window, scratch)
                case .mapPage, .tablePage, .epochPage, .snapshotPage:
                    try touchPage(recordEntry, position)
                case .null, .root, .discard, .lost:
                    break
                }
            }
            block += 1 + header.dataBlocks
            let due = credit * block / context.geometry.segmentBlocks
            monitor.locked { grantCredit(due - granted) }
            granted = due
        }
        try monitor.locked { () throws(DeviceError) in
            try closeOpen(.clean)
            log.counters.cleanedSegments += 1
            // What lives here yet was overwritten by records that are not sealed, waits for a checkpoint, or cannot be
            // read. The latter stays, for its readers to hear of, and keeps its segment from being chosen for ever.
            if table.load(segment) > 0 {
                table.deferVictim(segment, until: log.last.sequence)
                if table.noteLeftBehind(segment) >= 3 { table[segment].state = .damaged }
            }
        }
    }

    /// Lets data take so many blocks more. Monitor held.
    private func grantCredit(_ blocks: Int) {
        cleaningCredit = min(cleaningCredit + blocks, context.geometry.segmentBlocks)
        monitor.broadcast()
    }

    private func readHeader(
        _ segment: UInt32, _ block: Int, _ entry: SegmentEntry, _ key: SealingKey, _ window: SegmentWindow,
        _ scratch: AlignedBuffer
    ) throws(DeviceError) -> RecordHeader? {
        let position = LogPosition(segment: segment, block: UInt32(block))
        do {
            let stored = try window.block(block)
            guard let clear = ClearRecordHeader(stored), clear.position == position,
                clear.generation == entry.generation,
                block + 1 + clear.dataBlocks <= context.geometry.segmentBlocks
            else { return nil }
            return try RecordHeader.open(
                stored, clear, at: context.geometry.physical(position), key, scratch: scratch.bytes)
        } catch is HostError {
            return nil
        } catch { throw .latched("opening a record header: \(error)") }
    }

    /// Moves one block, if the map still has it here.
    private func relocate(
        _ recordEntry: RecordEntry, _ position: LogPosition, _ slot: Int, _ entry: SegmentEntry, _ key: SealingKey,
        _ window: SegmentWindow, _ scratch: AlignedBuffer
    ) throws(DeviceError) {
        let logical = LogicalBlock(recordEntry.address)
        guard logical.rawValue < logicalBlockCount else { return }
        let source = MapEntry(block: context.geometry.physical(position), slot: slot)
        try lockWithMap(logical, count: 1)
        let isCurrent = map.entry(logical) == source
        // Until the record is sealed, which looks again.
        if isCurrent { map.pin(logical) }
        monitor.unlock()
        guard isCurrent else { return }
        var isReserved = false
        defer { if !isReserved { monitor.locked { map.unpin(logical) } } }
        let association = BlockAssociation(.relocation, address: logical.rawValue)
        let isAuthentic: Bool
        do {
            guard let plain = scratch.bytes.baseAddress else { preconditionFailure("scratch is a block") }
            isAuthentic = try key.open(
                try window.block(Int(position.block)), into: plain, at: source.block, entry.generation,
                as: association, tag: recordEntry.tag)
        } catch is HostError {
            return
        } catch { throw .latched("opening a block: \(error)") }
        // A block that does not verify stays where it is, for its reader to hear of.
        guard isAuthentic else { return }

        let (record, target) = try monitor.locked { () throws(DeviceError) -> (RecordBuffer, Int) in
            try checkWritable()
            let slots = try reserve(.clean, 1, .cleaning)
            return (slots.record, slots.slot)
        }
        isReserved = true
        let tag: Tag
        do {
            guard let newKey = try context.epochs.key(record.epochIndex),
                let bytes = record.bytes(slot: target).baseAddress
            else { preconditionFailure("the epoch we seal under is in the table") }
            tag = try newKey.seal(
                UnsafeRawBufferPointer(scratch.bytes), into: bytes,
                at: context.geometry.physical(record.position(slot: target)), record.generation, as: association)
        } catch {
            monitor.locked { setLatch("sealing a relocation: \(error)") }
            throw .latched("sealing a relocation: \(error)")
        }
        try monitor.locked { () throws(DeviceError) in
            record.entries[target] = RecordEntry(association, tag: tag)
            record.replaced[target] = source
            record.pending -= 1
            if record.room == 0 { try closeOpen(.clean) }
        }
    }

    /// A page of the present trees is moved by having the next checkpoint write it.
    private func touchPage(_ recordEntry: RecordEntry, _ position: LogPosition) throws(DeviceError) {
        let place = context.geometry.physical(position)
        let level = Int(recordEntry.association.level)
        guard let number = Int(exactly: recordEntry.address) else { return }
        if recordEntry.kind == .mapPage {
            let page = LogicalMap.Page(level, number)
            guard map.isWithin(page) else { return }
            try lockWithMap(page)
            map.touch(page, at: place)
            monitor.unlock()
            return
        }
        monitor.locked {
            switch recordEntry.kind {
            case .epochPage:
                if log.epochPages.contains(where: { $0.block == place }) { log.epochsChanged = true }
            case .snapshotPage:
                if log.retention.snapshotPages.contains(where: { $0.block == place }) {
                    log.retention.isChanged = true
                }
            case .tablePage: table.touch(page: number, level: level, at: place)
            default: return
            }
        }
    }

    private func markDamaged(_ segment: UInt32) {
        monitor.locked { table[segment].state = .damaged }
    }
}
