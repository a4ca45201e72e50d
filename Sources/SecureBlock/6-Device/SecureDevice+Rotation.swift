// Changing the volume key of an open device. The order of writes, and why any crash leaves one key under which the
// newest root verifies, is in docs/FORMAT.md, "Rotation".

extension SecureDevice {
    /// Draws a new volume key. Everything from the next commit on is sealed under it; on return that is durable, and
    /// only `credentials` open the volume. What was sealed before is sealed again by the cleaner, or by ``reseal(_:)``.
    ///
    /// A copy of the volume from before, with the slots it had, opens with the old secrets for ever.
    ///
    /// - Parameters:
    ///   - credentials: what opens the volume afterwards, at least one; each gets a slot of its own.
    ///   - droppingOtherSlots: slots that none of `credentials` opens are emptied instead of
    ///     ``KeySlotChangeError/otherSlots(_:)`` being thrown.
    ///   - atNextCommit: where a client has something uncommitted, waits for its next commit on another thread.
    /// - Returns: the slots, in the order of `credentials`.
    public func rotateVolumeKey(
        for credentials: [Credential], droppingOtherSlots: Bool = false, scrypt: ScryptCost = .standard,
        atNextCommit: Bool = false
    ) throws(KeySlotChangeError) -> [Int] {
        precondition(!credentials.isEmpty, "somebody must be able to open the volume")
        beginKeyChange()
        defer { endKeyChange() }
        let (free, present, isBusy) = monitor.locked {
            (freeSlots, keySlots, log.olderKeys.count >= SealedVolumeKey.maximumCount || log.rotation != nil)
        }
        guard !isBusy else { throw .tooManyKeys }
        if !droppingOtherSlots { try checkCovered(present, by: credentials) }
        guard free.count >= credentials.count else { throw .noFreeSlot }
        try checkQuiet(atNextCommit)

        let used = Array(free[..<credentials.count])
        let (prepared, stored) = try prepare(credentials, used, present, scrypt)
        // Until a root under the new key names them, these slots open nothing.
        for (slot, bytes) in zip(used, stored) { try store(bytes, slot) }
        do throws(DeviceError) {
            try change(prepared, atNextCommit)
        } catch {
            // Short of a latch nothing has changed, and the new slots are of no use.
            guard error == .noSpace || error == .commitRequired else { throw .device(error) }
            for slot in used { try store(emptySlot(slot), slot) }
            throw error == .commitRequired ? .uncommittedChanges : .device(error)
        }
        do throws(VolumeError) {
            try finishRotation(superblocks: Array(Layout.superblocks.indices))
        } catch {
            if case .host(let error) = error { throw .host(error) }
            throw .crypto("\(error)")
        }
        do throws(AnchorError) { try settleAnchor() } catch { throw .anchor(error) }
        return used
    }

    /// Every slot in use is opened by one of the credentials.
    private func checkCovered(_ slots: [KeySlotStatus], by credentials: [Credential]) throws(KeySlotChangeError) {
        var others: [Int] = []
        for status in slots where status.state.isUsable {
            let buffer = AlignedBuffer(byteCount: blockBytes)
            do {
                try context.host.read(at: Layout.keySlot(status.slot) * UInt64(blockBytes), into: buffer.bytes)
                let slot = try KeySlot.parse(UnsafeRawBufferPointer(buffer.bytes), slot: status.slot)
                let isCovered = try credentials.contains {
                    try slot.unwrap($0, volume: context.superblock.volume) != nil
                }
                if !isCovered { others.append(status.slot) }
            } catch let error as HostError {
                throw .host(error)
            } catch KeySlotError.seal(let cause) {
                throw .crypto("\(cause)")
            } catch { others.append(status.slot) }
        }
        guard others.isEmpty else { throw .otherSlots(others) }
    }

    private func prepare(
        _ credentials: [Credential], _ used: [Int], _ present: [KeySlotStatus], _ scrypt: ScryptCost
    ) throws(KeySlotChangeError) -> (PreparedRotation, stored: [[UInt8]]) {
        do throws(SealError) {
            let volume = context.superblock.volume
            let next = try SecretBytes.random(byteCount: DiskKeySlot.volumeKeyBytes)
            var slots: [KeySlotStatus] = [], digests: [Tag] = [], stored: [[UInt8]] = []
            for slot in 0..<Layout.keySlotCount {
                let bytes: [UInt8]
                if let index = used.firstIndex(of: slot) {
                    bytes = try KeySlot.wrap(
                        volumeKey: next, for: credentials[index], slot: slot, volume: volume, scrypt: scrypt)
                    slots.append(KeySlotStatus(slot: slot, state: credentials[index].slotState))
                } else {
                    bytes = try KeySlot.empty(slot: slot, volume: volume)
                    slots.append(KeySlotStatus(slot: slot, state: .empty))
                }
                digests.append(try Self.keySlotDigest(bytes))
                if used.contains(slot) { stored.append(bytes) }
            }
            let prepared = PreparedRotation(
                volumeKey: next, olderKeys: try context.keys.sealedOlder(under: next), keySlots: slots,
                keySlotDigests: digests)
            return (prepared, stored)
        } catch {
            if case .sealer(let error) = error { throw .sealer(error) }
            throw .crypto("\(error)")
        }
    }

    /// Has the next commit change the epoch: our own where the client changed nothing, else the client's. Returns when
    /// both roots are under the new key.
    private func change(_ prepared: PreparedRotation, _ atNextCommit: Bool) throws(DeviceError) {
        monitor.lock()
        defer { monitor.unlock() }
        try checkWritable()
        log.rotation = prepared
        defer { log.rotation = nil }
        while !log.boundDigests.allSatisfy({ $0 == prepared.keySlotDigests }) {
            try checkWritable()
            if log.rotation == nil {
                monitor.wait()
            } else if log.hasClientChanges {
                guard atNextCommit else { throw .commitRequired }
                log.commitWanted = true
                monitor.wait()
            } else {
                _ = try withBarrier { () throws(DeviceError) in
                    log.hasClientChanges || log.rotation == nil ? log.last : try commitAndChangeEpoch()
                }
            }
        }
    }

    /// The part of a rotation that changes nothing any more: authenticators of superblocks under the present key, one
    /// copy after the other, and slots that the roots have as empty emptied.
    func finishRotation(superblocks: [Int]) throws(VolumeError) {
        try Self.writeSuperblocks(superblocks, context)
        let digests = monitor.locked { keySlotDigests }
        do {
            for slot in 0..<Layout.keySlotCount {
                let empty = try KeySlot.empty(slot: slot, volume: context.superblock.volume)
                guard try Self.keySlotDigest(empty) == digests[slot] else { continue }
                let buffer = AlignedBuffer(byteCount: blockBytes)
                try context.host.read(at: Layout.keySlot(slot) * UInt64(blockBytes), into: buffer.bytes)
                if !buffer.bytes.elementsEqual(empty) { try Self.store(empty, slot, on: context.host) }
                monitor.locked { keySlots[slot].state = .empty }
            }
        } catch let error as HostError {
            throw .host(error)
        } catch { throw .crypto("\(error)") }
    }
}
