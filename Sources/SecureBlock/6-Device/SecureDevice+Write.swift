extension SecureDevice {
    /// Records on their way to the host before writers wait: 16 records are up to 10.6 MiB.
    private static let inFlightLimit = 16

    public func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        try write(first, bytes, .data)
    }

    public func writeForCommit(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        try write(first, bytes, .metadata)
    }

    private func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer, _ allowance: Allowance)
        throws(DeviceError)
    {
        let count = try checkedCount(first, byteCount: bytes.count)
        var done = 0
        while done < Int(count) {
            let block = LogicalBlock(first.rawValue + UInt64(done))
            // A leaf of the map at a time: it stays in memory until the blocks are published.
            let inLeaf = MapEntry.perPage - Int(block.rawValue % UInt64(MapEntry.perPage))
            try lockWithMap(block, count: 1)
            do throws(DeviceError) { try checkRange(block, count: 1) } catch {
                monitor.unlock()
                throw error
            }
            map.pin(block)
            monitor.unlock()
            let slots: Slots
            do throws(DeviceError) {
                slots = try reserveForWrite(block, min(Int(count) - done, inLeaf), allowance)
            } catch {
                monitor.locked { map.unpin(block) }
                throw error
            }
            let part = UnsafeRawBufferPointer(
                rebasing: bytes[done * blockBytes..<(done + slots.count) * blockBytes])
            let sealed = sealBlocks(part, .data, from: block.rawValue, into: slots)
            try publish(block, slots, sealed)
            done += slots.count
        }
    }

    private typealias Slots = (record: RecordBuffer, slot: Int, count: Int)

    /// Slots of the user stream's open record, when nothing forbids or must go first.
    private func reserveForWrite(
        _ first: LogicalBlock, _ wanted: Int, _ allowance: Allowance
    ) throws(DeviceError) -> Slots {
        monitor.lock()
        defer { monitor.unlock() }
        var attempts = 0
        while true {
            try checkWritable()
            if log.hasBarrier {
                monitor.wait()
                continue
            }
            // The device may have become smaller meanwhile.
            try checkRange(first, count: UInt64(wanted))
            if log.inFlight.count >= Self.inFlightLimit {
                try awaitOldestWrite()
                continue
            }
            if map.wantsCheckpoint { log.commitWanted = true }
            if allowance == .data, map.isFull {
                try makeMapRoom()
                continue
            }
            if allowance == .data, isPaced {
                monitor.wait()
                continue
            }
            do {
                if !log.discards.isEmpty {
                    try withBarrier { () throws(DeviceError) in try sealDiscards(allowance) }
                    continue
                }
                let slots = try reserve(.user, wanted, allowance)
                // A record's first block of data brings its header along, which with a commit each is half of what is taken.
                let taken = slots.count + (slots.slot == 0 ? 1 : 0)
                cleaningCredit = max(cleaningCredit - taken, -taken)
                return slots
            } catch DeviceError.noSpace {
                try makeRoom(attempts, allowance)
                attempts += 1
            }
        }
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

    /// Encrypts whole blocks into reserved slots, outside the monitor.
    private func sealBlocks(
        _ bytes: UnsafeRawBufferPointer, _ kind: BlockKind, from address: UInt64, into slots: Slots
    ) -> Result<[Tag], SealError> {
        do throws(SealError) {
            guard let key = try context.epochs.key(slots.record.epochIndex) else {
                preconditionFailure("the epoch we seal under is in the table")
            }
            let sealing = BlockSealing(
                key: key, geometry: context.geometry, plain: bytes, kind: kind, address: address,
                record: slots.record, slot: slots.slot)
            return .success(try sealing.run())
        } catch { return .failure(error) }
    }

    /// Makes sealed slots visible, unless a later slot already stands for the same block (I2).
    private func publish(_ first: LogicalBlock, _ slots: Slots, _ sealed: Result<[Tag], SealError>)
        throws(DeviceError)
    {
        monitor.lock()
        defer { monitor.unlock() }
        defer { map.unpin(first) }
        let record = slots.record
        guard case .success(let tags) = sealed else {
            setLatch("sealing blocks from \(first): \(sealed)")
            throw .latched("sealing blocks from \(first): \(sealed)")
        }
        for index in 0..<slots.count {
            let slot = slots.slot + index
            let block = LogicalBlock(first.rawValue + UInt64(index))
            let entry = MapEntry(block: context.geometry.physical(record.position(slot: slot)), slot: slot)
            let present = map.entry(block)
            if isNewer(record.position(slot: slot), than: present) {
                record.replaced[slot] = present
                map.set(block, entry)
            } else {
                record.replaced[slot] = entry
            }
            record.entries[slot] = RecordEntry(
                BlockAssociation(.data, address: block.rawValue), tag: tags[index])
        }
        log.hasUncommitted = true
        log.hasClientChanges = true
        log.counters.clientBlocks += UInt64(slots.count)
        record.pending -= slots.count
        if record.room == 0, !record.isClosed, log.streams[Int(record.stream.rawValue)].open === record {
            try closeOpen(record.stream)
        } else if record.isClosed, record.pending == 0 {
            try sealReady(record.stream)
        }
    }

    /// Whether a slot of the user stream comes after what the map has. What the cleaner moved is always older: its
    /// record was sealed, this one is not.
    private func isNewer(_ place: LogPosition, than present: MapEntry) -> Bool {
        guard present.isMapped, let other = context.geometry.position(present.block),
            table[other.segment].stream == .user
        else { return true }
        let mine = table[volatile: place.segment].order, its = table[volatile: other.segment].order
        return (mine, place.block) >= (its, other.block)
    }
}
