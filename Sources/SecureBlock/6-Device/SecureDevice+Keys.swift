extension SecureDevice {
    /// Lets `credential` open the volume too; durable on return.
    ///
    /// The slot is written before the roots that bind its digest: after a crash in between it is there and refused, and
    /// may be added again.
    /// - Parameter atNextCommit: where a client has something uncommitted, waits for its next commit, on another
    ///   thread, instead of throwing ``KeySlotChangeError/uncommittedChanges``. So below.
    /// - Returns: the slot it went to.
    public func addKeySlot(
        _ credential: Credential, scrypt: ScryptCost = .standard, atNextCommit: Bool = false
    ) throws(KeySlotChangeError) -> Int {
        beginKeyChange()
        defer { endKeyChange() }
        guard let slot = monitor.locked({ freeSlots.first }) else { throw .noFreeSlot }
        let bytes: [UInt8]
        do throws(SealError) { bytes = try context.keys.slot(slot, for: credential, scrypt: scrypt) } catch {
            if case .sealer(let error) = error { throw .sealer(error) }
            throw .crypto("\(error)")
        }
        try checkQuiet(atNextCommit)
        try store(bytes, slot)
        try bind(bytes, slot, credential.slotState, atNextCommit)
        return slot
    }

    /// Takes a slot away; durable on return. What opened it opens the volume no more.
    ///
    /// The roots go first, so that after a crash in between the slot is there and refused. This changes no key: whoever
    /// kept a copy of the slot and knows its secret has the volume key; ``rotateVolumeKey(for:droppingOtherSlots:scrypt:atNextCommit:)``
    /// changes it.
    /// - Throws: ``KeySlotChangeError/lastSlot(_:)`` when no other sound slot is in use.
    public func removeKeySlot(_ slot: Int, atNextCommit: Bool = false) throws(KeySlotChangeError) {
        beginKeyChange()
        defer { endKeyChange() }
        let slots = monitor.locked { keySlots }
        guard let status = slots.first(where: { $0.slot == slot }), status.state != .empty else {
            throw .noSuchSlot(slot)
        }
        guard slots.contains(where: { $0.slot != slot && $0.state.isUsable }) else { throw .lastSlot(slot) }
        let bytes = try emptySlot(slot)
        try checkQuiet(atNextCommit)
        try bind(bytes, slot, .empty, atNextCommit)
        try store(bytes, slot)
    }

    /// Waits for its turn: one change of slots or key at a time.
    func beginKeyChange() {
        monitor.locked {
            while isChangingKeys { monitor.wait() }
            isChangingKeys = true
        }
    }

    func endKeyChange() {
        monitor.locked {
            isChangingKeys = false
            monitor.broadcast()
        }
    }

    /// Slots that nothing uses, those that never were first. Monitor held.
    var freeSlots: [Int] {
        keySlots.filter { $0.state == .empty }.map(\.slot) + keySlots.filter { $0.state == .unbound }.map(\.slot)
    }

    func emptySlot(_ slot: Int) throws(KeySlotChangeError) -> [UInt8] {
        do throws(SealError) { return try KeySlot.empty(slot: slot, volume: context.superblock.volume) } catch {
            throw .crypto("\(error)")
        }
    }

    func checkQuiet(_ atNextCommit: Bool) throws(KeySlotChangeError) {
        let isQuiet: Bool
        do throws(DeviceError) {
            isQuiet = try monitor.locked { () throws(DeviceError) in
                try checkWritable()
                return !log.hasClientChanges
            }
        } catch { throw .device(error) }
        guard isQuiet || atNextCommit else { throw .uncommittedChanges }
    }

    func store(_ bytes: [UInt8], _ slot: Int) throws(KeySlotChangeError) {
        do throws(HostError) { try Self.store(bytes, slot, on: context.host) } catch { throw .host(error) }
    }

    /// Writes a slot and flushes it.
    static func store(_ bytes: [UInt8], _ slot: Int, on host: any BlockHost) throws(HostError) {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        buffer.bytes.copyBytes(from: bytes)
        try host.write(at: Layout.keySlot(slot) * UInt64(blockBytes), UnsafeRawBufferPointer(buffer.bytes))
        try host.flush()
    }

    /// Writes both roots with the slot's new digest.
    private func bind(_ bytes: [UInt8], _ slot: Int, _ state: KeySlotStatus.State, _ atNextCommit: Bool)
        throws(KeySlotChangeError)
    {
        let digest: Tag
        do { digest = try Self.keySlotDigest(bytes) } catch { throw .crypto("\(error)") }
        monitor.locked {
            keySlotDigests[slot] = digest
            if let index = keySlots.firstIndex(where: { $0.slot == slot }) { keySlots[index].state = state }
        }
        do throws(DeviceError) {
            try checkpoint(atNextCommit) { $0.log.boundDigests.allSatisfy { $0 == self.keySlotDigests } }
            try anchorRoots()
        } catch { throw .device(error) }
    }

    /// Brings the present state into both root slots, until `isDone`. Where the client has changed nothing, a commit of
    /// the same state does (I9); else it waits for the client's next.
    func checkpoint(_ atNextCommit: Bool, until isDone: (SecureDevice) -> Bool) throws(DeviceError) {
        monitor.lock()
        defer { monitor.unlock() }
        while !isDone(self) {
            try checkWritable()
            if checkpoint != nil || isMaintaining {
                try maintainOrWait()
            } else if !log.hasClientChanges {
                let commit = try withBarrier { () throws(DeviceError) -> Root.Commit? in
                    guard !log.hasClientChanges, checkpoint == nil else { return nil }
                    let commit = try sealLastCommit()
                    if checkpoint == nil { freeze(at: commit, fillsBothSlots: true) }
                    return commit
                }
                if let commit {
                    try monitor.unlocked { () throws(DeviceError) in try awaitDurable(commit.sequence) }
                }
            } else {
                log.checkpointWanted = true
                log.bothRootsWanted = true
                log.commitWanted = true
                monitor.wait()
            }
        }
    }
}

extension Credential {
    /// What a slot for it is called.
    var slotState: KeySlotStatus.State {
        switch self {
        case .passphrase: .passphrase
        case .keyFile: .keyFile
        case .sealer: .sealed
        }
    }
}
