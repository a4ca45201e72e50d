/// Slots of one record for neighbouring blocks of one leaf of the map, which is pinned until they are published.
struct SlotRun {
    var first: LogicalBlock
    var record: RecordBuffer
    var slot: Int
    var count: Int
}

// What a write waits for, and the slots it gets.

extension SecureDevice {
    /// Records on their way to the host before writers wait: 16 records are up to 10.6 MiB.
    private static let inFlightLimit = 16

    /// Slots of the user stream for as many of the blocks as there are without another wait, one at least.
    ///
    /// Who has slots waits for nothing before they are published: records, and with them commits, wait for that.
    func reserveSlots(_ first: LogicalBlock, _ wanted: Int, _ allowance: Allowance) throws(DeviceError) -> [SlotRun]
    {
        var parts = try pinLeaves(first, wanted)
        monitor.lock()
        defer {
            for part in parts { map.unpin(part.first) }
            monitor.unlock()
        }
        let whole = parts.reduce(0) { $0 + $1.count }
        var runs = [take(try awaitSlots(first, parts[0].count, whole, allowance), for: &parts)]
        while let next = parts.first, latch == nil, obstacle(allowance) == nil {
            // What is missing now is waited for by the next call.
            do throws(DeviceError) { runs.append(take(try slots(next.count, allowance), for: &parts)) } catch {
                break
            }
        }
        return runs
    }

    private typealias Part = (first: LogicalBlock, count: Int)
    private typealias Slots = (record: RecordBuffer, slot: Int, count: Int)

    /// Blocks by the leaf of the map that they are in, each pinned; of two leaves at most, as they must stay in memory.
    private func pinLeaves(_ first: LogicalBlock, _ wanted: Int) throws(DeviceError) -> [Part] {
        var parts: [Part] = []
        var block = first
        var left = min(wanted, MapEntry.perPage)
        while left > 0 {
            do throws(DeviceError) {
                try lockWithMap(block, count: 1)
                defer { monitor.unlock() }
                try checkRange(block, count: 1)
                map.pin(block)
            } catch {
                monitor.locked { for part in parts { map.unpin(part.first) } }
                throw error
            }
            let count = min(left, MapEntry.perPage - Int(block.rawValue % UInt64(MapEntry.perPage)))
            parts.append((block, count))
            left -= count
            block = LogicalBlock(block.rawValue + UInt64(count))
        }
        return parts
    }

    /// Makes slots the run of the first part, or of its beginning. Monitor held.
    private func take(_ slots: Slots, for parts: inout [Part]) -> SlotRun {
        let part = parts.removeFirst()
        if slots.count < part.count {
            let rest = LogicalBlock(part.first.rawValue + UInt64(slots.count))
            map.pin(rest)
            parts.insert((rest, part.count - slots.count), at: 0)
        }
        return SlotRun(first: part.first, record: slots.record, slot: slots.slot, count: slots.count)
    }

    /// What must go first, or be waited for, before a write gets slots.
    private enum Obstacle {
        case barrier
        case hostWrites
        case map
        case pace
        case discards
    }

    private func obstacle(_ allowance: Allowance) -> Obstacle? {
        if log.hasBarrier { return .barrier }
        if log.inFlight.count >= Self.inFlightLimit { return .hostWrites }
        if map.wantsCheckpoint { log.commitWanted = true }
        if allowance == .data, map.isFull { return .map }
        if allowance == .data, isPaced { return .pace }
        return log.discards.isEmpty ? nil : .discards
    }

    /// Slots of the user stream's open record, when nothing forbids or must go first. Call with the monitor held; it is
    /// released at waits.
    /// - Parameter whole: blocks from `first` on that must be there.
    private func awaitSlots(_ first: LogicalBlock, _ wanted: Int, _ whole: Int, _ allowance: Allowance)
        throws(DeviceError) -> Slots
    {
        var attempts = 0
        while true {
            try checkWritable()
            // The device may have become smaller meanwhile.
            try checkRange(first, count: UInt64(whole))
            do throws(DeviceError) {
                switch obstacle(allowance) {
                case .barrier, .pace: monitor.wait()
                case .hostWrites: try awaitOldestWrite()
                case .map: try makeMapRoom()
                case .discards: try withBarrier { () throws(DeviceError) in try sealDiscards(allowance) }
                case nil: return try slots(wanted, allowance)
                }
            } catch {
                guard error == .noSpace else { throw error }
                try makeRoom(attempts, allowance)
                attempts += 1
            }
        }
    }

    private func slots(_ wanted: Int, _ allowance: Allowance) throws(DeviceError) -> Slots {
        let slots = try reserve(.user, wanted, allowance)
        // A record's first block of data brings its header along, which with a commit each is half of what is taken.
        let taken = slots.count + (slots.slot == 0 ? 1 : 0)
        cleaningCredit = max(cleaningCredit - taken, -taken)
        return slots
    }

    /// While segments are short, data takes no more than the cleaner gives back: many short waits, not one long one in the
    /// end. Monitor held.
    private var isPaced: Bool {
        guard cleaningCredit <= 0, reusableAfterCommit <= lowWater else { return false }
        return isCleaning || maintenance != nil && !maintenanceStops && cleaningIsDue
    }

    /// After a failed ``takeSegment(_:_:)``: first waits for what maintenance is doing, then has the cleaner try, then
    /// says what would help. Call with the monitor held; it is released meanwhile.
    private func makeRoom(_ attempt: Int, _ allowance: Allowance) throws(DeviceError) {
        guard attempt < 2 else {
            log.commitWanted = true
            throw doesCommitHelp(allowance) ? .commitRequired : .noSpace
        }
        if attempt == 1 {
            // Where a commit is all that is missing, nothing need be moved.
            guard !isCommitEnough(for: allowance) else { return }
            cleaningIsDue = true
        }
        if maintenance == nil, !isMaintaining {
            return try monitor.unlocked { () throws(DeviceError) in try maintainInline() }
        }
        monitor.signalWork()
        while maintenance != nil && maintenanceIsDue || isMaintaining {
            try checkWritable()
            monitor.wait()
            // The rest of what maintenance does is for others to wait for.
            if reusableNow > reserved(allowance) || checkpoint == nil && isCommitEnough(for: allowance) { return }
        }
    }

    /// So much of the map waits for a checkpoint that no more may: waits for the one under way, or asks for the commit that
    /// the next can be of. Call with the monitor held; it is released meanwhile.
    private func makeMapRoom() throws(DeviceError) {
        guard checkpoint != nil || isMaintaining else {
            log.commitWanted = true
            throw .commitRequired
        }
        try maintainOrWait()
    }
}
