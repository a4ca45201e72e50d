extension SecureDevice {
    public func discard(_ first: LogicalBlock, count: UInt64) throws(DeviceError) {
        try checkRange(first, count: count)
        try forEachPart(first, count) { part, count throws(DeviceError) in
            // Forgetting what is not there needs no record.
            var start: UInt64?
            for offset in 0...count {
                let isThere = offset < count && map.entry(LogicalBlock(part.rawValue + offset)) != .none
                if isThere, start == nil { start = offset }
                if !isThere, let run = start {
                    try forget(.discard(LogicalBlock(part.rawValue + run), count: offset - run))
                    start = nil
                }
            }
        }
    }

    /// Notes that the contents of blocks are lost: they read as ``UnreadableReason/lost`` until they are written or
    /// discarded. Visible on return, durable with the next commit. For repair and salvage.
    public func markLost(_ first: LogicalBlock, count: UInt64) throws(DeviceError) {
        try checkRange(first, count: count)
        try forEachPart(first, count, withNeverWritten: true) { part, count throws(DeviceError) in
            try forget(.lost(part, count: count))
        }
    }

    /// Calls `body` within the barrier for each part of a range that lies in one leaf of the map. Between two parts others
    /// get their turn.
    /// - Parameter withNeverWritten: leaves that were never written count, too.
    private func forEachPart(
        _ first: LogicalBlock, _ count: UInt64, withNeverWritten: Bool = false,
        _ body: (LogicalBlock, UInt64) throws(DeviceError) -> Void
    ) throws(DeviceError) {
        let perLeaf = UInt64(MapEntry.perPage)
        var done: UInt64 = 0
        while done < count {
            let block = LogicalBlock(first.rawValue + done)
            let part = min(count - done, perLeaf - block.rawValue % perLeaf)
            try lockWithMap(block, count: 1)
            defer { monitor.unlock() }
            // The device may have become smaller meanwhile.
            try checkRange(block, count: part)
            let empty = withNeverWritten ? 0 : UInt64(map.emptyLeaves(from: map.leafIndex(block)))
            if empty > 0 {
                done += min(count - done, empty * perLeaf - block.rawValue % perLeaf)
                continue
            }
            map.pin(block)
            defer { map.unpin(block) }
            try withBarrier { () throws(DeviceError) in
                try checkRange(block, count: part)
                try body(block, part)
            }
            done += part
        }
    }

    /// Notes a discard or a loss for the next record of its kind, and unmaps its blocks.
    private func forget(_ entry: RecordEntry) throws(DeviceError) {
        if log.discards.count == RecordHeader.maximumEntries { try sealDiscards(.metadata) }
        // What has slots already comes first, be its record still open or waiting for them: else a replay would have the
        // discard take away what was published after it (I2).
        if log.discards.isEmpty { try closeAndDrain(.user) }
        log.discards.append(entry)
        // The deaths belong to the discard record; its sequence is at least the next one. As commits wait for it, the
        // exact number makes no difference to when the space may be used again.
        let sequence = SequenceNumber(log.last.sequence.rawValue + 1)
        for offset in 0..<entry.discardCount {
            let block = LogicalBlock(entry.address + offset)
            lose(map.entry(block), sequence)
            if !Sabotage.isOn(.discardKeepsMap) { map.set(block, entry.kind == .lost ? .lost : .none) }
        }
        log.hasUncommitted = true
        log.hasClientChanges = true
    }

    /// Writes the noted discards as a record of their own. Call within a barrier.
    func sealDiscards(_ allowance: Allowance) throws(DeviceError) {
        guard !log.discards.isEmpty else { return }
        try closeAndDrain(.user)
        try beginRecord(.user, needsRoom: false, allowance)
        guard let record = log.streams[0].open else { preconditionFailure("a record was begun") }
        record.flags = .discard
        for discard in log.discards {
            record.entries.append(discard)
            record.replaced.append(.none)
        }
        log.discards.removeAll(keepingCapacity: true)
        try closeOpen(.user)
    }

    /// Ends a stream's open record and waits until all its records are sealed. For the user stream call within a barrier.
    func closeAndDrain(_ id: StreamID, flags: RecordHeader.Flags = []) throws(DeviceError) {
        try closeOpen(id, flags: flags)
        while !log.streams[Int(id.rawValue)].queue.isEmpty {
            try checkWritable()
            monitor.wait()
        }
    }

    /// Runs `body` while no writer gets slots of the user stream. Call with the monitor held; it is released at waits.
    func withBarrier<Result>(_ body: () throws(DeviceError) -> Result) throws(DeviceError) -> Result {
        while log.hasBarrier {
            try checkWritable()
            monitor.wait()
        }
        try checkWritable()
        log.hasBarrier = true
        defer {
            log.hasBarrier = false
            monitor.broadcast()
        }
        return try body()
    }
}
