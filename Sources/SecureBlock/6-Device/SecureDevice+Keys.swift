/// What adding or removing a key slot failed with. Nothing was changed, unless the device says otherwise.
public enum KeySlotChangeError: Error, Hashable, Sendable {
    /// All slots are taken.
    case noFreeSlot
    /// There is no such slot, or nothing is in it.
    case noSuchSlot(Int)
    /// Nothing could open the volume afterwards.
    case lastSlot(Int)
    /// Something waits for a commit: a root can only describe one.
    case uncommittedChanges
    case device(DeviceError)
    case host(HostError)
    case crypto(String)
}

extension SecureDevice {
    /// Lets `credential` open the volume too; durable on return.
    ///
    /// The slot is written before the roots that bind its digest: after a crash in between it is there and refused, and
    /// may be added again.
    /// - Returns: the slot it went to.
    public func addKeySlot(_ credential: Credential, scrypt: ScryptCost = .standard) throws(KeySlotChangeError)
        -> Int
    {
        guard let slot = monitor.locked({ keySlots.first { $0.state == .empty }?.slot }) else { throw .noFreeSlot }
        let bytes: [UInt8]
        do { bytes = try context.keys.slot(slot, for: credential, scrypt: scrypt) } catch {
            throw .crypto("\(error)")
        }
        try checkQuiet()
        try store(bytes, slot)
        let state: KeySlotStatus.State =
            switch credential {
            case .passphrase: .passphrase
            case .keyFile: .keyFile
            }
        try bind(bytes, slot, state)
        return slot
    }

    /// Takes a slot away; durable on return. What opened it opens the volume no more.
    ///
    /// The roots go first, so that after a crash in between the slot is there and refused. This changes no key: whoever
    /// kept a copy of the slot and knows its secret has the volume key.
    /// - Throws: ``KeySlotChangeError/lastSlot(_:)`` when no other sound slot is in use.
    public func removeKeySlot(_ slot: Int) throws(KeySlotChangeError) {
        let slots = monitor.locked { keySlots }
        guard let status = slots.first(where: { $0.slot == slot }), status.state != .empty else {
            throw .noSuchSlot(slot)
        }
        let others = slots.filter { $0.slot != slot && ($0.state == .passphrase || $0.state == .keyFile) }
        guard !others.isEmpty else { throw .lastSlot(slot) }
        let bytes: [UInt8]
        do { bytes = try KeySlot.empty(slot: slot, volume: context.superblock.volume) } catch {
            throw .crypto("\(error)")
        }
        try checkQuiet()
        try bind(bytes, slot, .empty)
        try store(bytes, slot)
    }

    private func checkQuiet() throws(KeySlotChangeError) {
        let isQuiet: Bool
        do throws(DeviceError) {
            isQuiet = try monitor.locked { () throws(DeviceError) in
                try checkWritable()
                return !log.hasClientChanges
            }
        } catch { throw .device(error) }
        guard isQuiet else { throw .uncommittedChanges }
    }

    private func store(_ bytes: [UInt8], _ slot: Int) throws(KeySlotChangeError) {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        buffer.bytes.copyBytes(from: bytes)
        do throws(HostError) {
            try context.host.write(
                at: Layout.keySlot(slot) * UInt64(blockBytes), UnsafeRawBufferPointer(buffer.bytes))
            try context.host.flush()
        } catch { throw .host(error) }
    }

    /// Writes both roots with the slot's new digest.
    private func bind(_ bytes: [UInt8], _ slot: Int, _ state: KeySlotStatus.State) throws(KeySlotChangeError) {
        let digest: Tag
        do { digest = try Self.keySlotDigest(bytes) } catch { throw .crypto("\(error)") }
        monitor.locked {
            keySlotDigests[slot] = digest
            if let index = keySlots.firstIndex(where: { $0.slot == slot }) { keySlots[index].state = state }
        }
        do throws(DeviceError) {
            if try checkpointNow() != nil { return }
        } catch { throw .device(error) }
        throw .uncommittedChanges
    }
}
