extension SecureDevice {
    public func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        try write(first, bytes, .data) {}
    }

    public func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer, accepted: () -> Void)
        throws(DeviceError)
    {
        try write(first, bytes, .data, accepted)
    }

    public func writeForCommit(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        try write(first, bytes, .metadata) {}
    }

    private func write(
        _ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer, _ allowance: Allowance, _ accepted: () -> Void
    ) throws(DeviceError) {
        let count = Int(try checkedCount(first, byteCount: bytes.count))
        var done = 0
        while done < count {
            let runs = try reserveSlots(LogicalBlock(first.rawValue + UInt64(done)), count - done, allowance)
            let end = done + runs.reduce(0) { $0 + $1.count }
            // With a slot for each block, sealing and the host's writes are left, whose failures latch the device.
            if Sabotage.isOn(.acceptBeforeSlots) ? done == 0 : end == count { accepted() }
            try fill(runs, UnsafeRawBufferPointer(rebasing: bytes[done * blockBytes..<end * blockBytes]))
            done = end
        }
    }

    /// Seals blocks into slots and publishes them: all of them, also after a failure, as records wait for their slots.
    private func fill(_ runs: [SlotRun], _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        var failure: DeviceError?
        var rest = bytes[...]
        for run in runs {
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(run.count * blockBytes))
            rest = rest.dropFirst(part.count)
            let sealed = sealBlocks(part, into: run)
            do throws(DeviceError) { try publish(run, sealed) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    /// Encrypts whole blocks into reserved slots, outside the monitor.
    private func sealBlocks(_ bytes: UnsafeRawBufferPointer, into run: SlotRun) -> Result<[Tag], SealError> {
        do throws(SealError) {
            guard let key = try context.epochs.key(run.record.epochIndex) else {
                preconditionFailure("the epoch we seal under is in the table")
            }
            let sealing = BlockSealing(
                key: key, geometry: context.geometry, plain: bytes, kind: .data, address: run.first.rawValue,
                record: run.record, slot: run.slot)
            return .success(try sealing.run())
        } catch { return .failure(error) }
    }

    /// Makes sealed slots visible, unless a later slot already stands for the same block (I2).
    private func publish(_ run: SlotRun, _ sealed: Result<[Tag], SealError>) throws(DeviceError) {
        monitor.lock()
        defer { monitor.unlock() }
        defer { map.unpin(run.first) }
        let record = run.record
        guard case .success(let tags) = sealed else {
            setLatch("sealing blocks from \(run.first): \(sealed)")
            throw .latched("sealing blocks from \(run.first): \(sealed)")
        }
        for index in 0..<run.count {
            let slot = run.slot + index
            let block = LogicalBlock(run.first.rawValue + UInt64(index))
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
        log.counters.clientBlocks += UInt64(run.count)
        record.pending -= run.count
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
