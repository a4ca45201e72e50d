/// The volume key, those before it that something still needs, and the keys below: HKDF-SHA256 (RFC 5869), salted with
/// the volume identifier, one label a use.
package final class VolumeKeys: Sendable {
    private struct State {
        var version: UInt32
        var present: SecretBytes
        /// Oldest first.
        var older: [(version: UInt32, key: SecretBytes)] = []

        func key(_ wanted: UInt32) -> SecretBytes? {
            wanted == version ? present : older.first { $0.version == wanted }?.key
        }
    }

    package let volume: VolumeIdentifier
    private let state: Monitor<State>

    /// - Parameter version: how many volume keys there were before; a root says it.
    package init(volumeKey: SecretBytes, volume: VolumeIdentifier, version: UInt32 = 0) throws(SealError) {
        guard volumeKey.byteCount == DiskKeySlot.volumeKeyBytes else {
            throw .unsuitable("a volume key has 32 bytes")
        }
        self.volume = volume
        state = Monitor(State(version: version, present: volumeKey))
    }

    package var version: UInt32 { state.withLock { $0.version } }
    package var olderVersions: [UInt32] { state.withLock { $0.older.map(\.version) } }

    /// The key of the superblock's authenticator, from the present volume key or an older one.
    /// - Returns: `nil` for a version that is not held.
    package func superblockKey(version: UInt32? = nil) throws(SealError) -> SecretBytes? {
        guard let key = state.withLock({ $0.key(version ?? $0.version) }) else { return nil }
        return try KeyDerivation.hkdf(key: key, salt: volume.bytes, info: Array("casemate superblock".utf8))
    }

    /// What an anchor may know the holder of the volume by, from the present volume key and from the older ones that are
    /// held, newest first.
    package func anchorKeys() throws(SealError) -> [SecretBytes] {
        let held = state.withLock { [$0.present] + $0.older.reversed().map(\.key) }
        var keys: [SecretBytes] = []
        for key in held {
            keys.append(try KeyDerivation.hkdf(key: key, salt: volume.bytes, info: Array("casemate anchor".utf8)))
        }
        return keys
    }

    /// A key slot that `credential` opens, as it is stored.
    package func slot(_ number: Int, for credential: Credential, scrypt: ScryptCost) throws(SealError) -> [UInt8] {
        let key = state.withLock { $0.present }
        return try KeySlot.wrap(volumeKey: key, for: credential, slot: number, volume: volume, scrypt: scrypt)
    }

    /// The data key of an epoch.
    /// - Returns: `nil` when its volume key is not held.
    package func epochKey(_ epoch: Epoch, _ suite: CipherSuite) throws(SealError) -> SealingKey? {
        guard let key = state.withLock({ $0.key(epoch.keyVersion) }) else { return nil }
        return try epochKey(epoch.identifier, from: key, suite)
    }

    /// The key of a root's own epoch, which always comes from the volume key that was present when it was written.
    package func rootKey(_ epoch: Tag, _ suite: CipherSuite) throws(SealError) -> SealingKey {
        try epochKey(epoch, from: state.withLock { $0.present }, suite)
    }

    /// The data keys that an epoch may have, where no table says which volume key it comes from: one for each that is
    /// held, the present one first.
    package func possibleKeys(_ epoch: Tag, _ suite: CipherSuite) throws(SealError) -> [SealingKey] {
        let held = state.withLock { [$0.present] + $0.older.reversed().map(\.key) }
        var keys: [SealingKey] = []
        for key in held { keys.append(try epochKey(epoch, from: key, suite)) }
        return keys
    }

    private func epochKey(_ epoch: Tag, from volumeKey: SecretBytes, _ suite: CipherSuite) throws(SealError)
        -> SealingKey
    {
        var info = Array("casemate epoch".utf8)
        withUnsafeBytes(of: (epoch.low.littleEndian, epoch.high.littleEndian)) { info.append(contentsOf: $0) }
        return try SealingKey(
            key: try KeyDerivation.hkdf(key: volumeKey, salt: volume.bytes, info: info), suite: suite)
    }
}

extension VolumeKeys {
    /// Takes over what a verified root says: which version the present key is, and the older ones.
    /// - Returns: `false` when one of them was not sealed under it.
    package func adopt(version: UInt32, older: [SealedVolumeKey]) throws(SealError) -> Bool {
        try state.withLock { state throws(SealError) in
            var opened: [(version: UInt32, key: SecretBytes)] = []
            for sealed in older {
                guard sealed.version < version, let key = try sealed.open(under: state.present, version, volume)
                else { return false }
                opened.append((sealed.version, key))
            }
            state.version = version
            state.older = opened
            return true
        }
    }

    /// What a root keeps of the older keys once `next` is the volume key: the present one is then among them.
    package func sealedOlder(under next: SecretBytes) throws(SealError) -> [SealedVolumeKey] {
        try state.withLock { state throws(SealError) in
            var sealed: [SealedVolumeKey] = []
            for (version, key) in state.older + [(state.version, state.present)] {
                sealed.append(try SealedVolumeKey(key, version: version, under: next, state.version + 1, volume))
            }
            return sealed
        }
    }

    /// Makes `next` the volume key; the present one becomes an older one.
    package func replace(by next: SecretBytes) {
        state.withLock { state in
            state.older.append((state.version, state.present))
            state.version += 1
            state.present = next
        }
    }

    /// Forgets older keys that nothing needs.
    package func drop(_ versions: [UInt32]) {
        state.withLock { state in state.older.removeAll { versions.contains($0.version) } }
    }
}
