/// The keys below the volume key: HKDF-SHA256 (RFC 5869), salted with the volume identifier, one label a use.
package final class VolumeKeys: Sendable {
    package let volume: VolumeIdentifier
    package let superblockKey: SecretBytes
    private let volumeKey: SecretBytes

    package init(volumeKey: SecretBytes, volume: VolumeIdentifier) throws(SealError) {
        self.volumeKey = volumeKey
        self.volume = volume
        superblockKey = try KeyDerivation.hkdf(
            key: volumeKey, salt: volume.bytes, info: Array("casemate superblock".utf8))
    }

    /// A key slot that `credential` opens, as it is stored.
    package func slot(_ number: Int, for credential: Credential, scrypt: ScryptCost) throws(SealError) -> [UInt8] {
        try KeySlot.wrap(volumeKey: volumeKey, for: credential, slot: number, volume: volume, scrypt: scrypt)
    }

    /// The data key of one mount epoch.
    package func epochKey(_ epoch: Epoch, _ suite: CipherSuite) throws(SealError) -> SealingKey {
        var info = Array("casemate epoch".utf8)
        withUnsafeBytes(of: (epoch.identifier.low.littleEndian, epoch.identifier.high.littleEndian)) {
            info.append(contentsOf: $0)
        }
        return try SealingKey(
            key: try KeyDerivation.hkdf(key: volumeKey, salt: volume.bytes, info: info), suite: suite)
    }
}
