extension SecureDevice {
    /// The key slot that `credential` opens, read anew from the host: what proves, while the volume is open, that
    /// somebody knows a secret of it. A passphrase takes as long as opening does.
    /// - Throws: ``VolumeError/wrongCredential`` and what else ``open(_:credential:anchor:mode:options:)`` says of keys.
    public func keySlot(openedBy credential: Credential) throws(VolumeError) -> Int {
        let keyring = try Keyring(context.host, credential: credential, volume: context.superblock.volume)
        guard monitor.locked({ keySlotDigests[keyring.used] }) == keyring.digests[keyring.used] else {
            throw .corrupt("key slot \(keyring.used) is not the one that this volume was last written with")
        }
        return keyring.used
    }
}
