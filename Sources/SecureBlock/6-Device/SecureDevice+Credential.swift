extension SecureDevice {
    /// The key slot that `credential` opens, read anew from the host: what proves, while the volume is open, that
    /// somebody knows a secret of it. A passphrase takes as long as opening does.
    /// - Throws: ``VolumeError/wrongCredential`` and what else ``open(_:credential:anchor:mode:options:)`` says of keys.
    public func keySlot(openedBy credential: Credential) throws(VolumeError) -> Int {
        var keyring = try Keyring(context.host, credential: credential, volume: context.superblock.volume)
        var stray: Int?
        while let (slot, _) = try keyring.next() {
            if monitor.locked({ keySlotDigests[slot] }) == keyring.digests[slot] { return slot }
            stray = slot
        }
        try keyring.requireFound()
        throw .keySlotRevoked(stray ?? 0)
    }
}
