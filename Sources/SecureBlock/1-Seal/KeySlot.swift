/// One key slot: the volume key, wrapped by one credential.
///
/// A slot fills one block of ``blockBytes``. All numbers are little-endian:
///
///      offset  bytes  field
///           0      8  magic "CMKEYSLT"
///           8      2  version, 1
///          10      2  slot number
///          12      1  kind: 0 empty, 1 passphrase (scrypt), 2 key file, 3 sealed by a device
///          13      1  scrypt log2 N   (0 unless kind 1)
///          14      1  scrypt r        (0 unless kind 1)
///          15      1  scrypt p        (0 unless kind 1)
///          16      4  flags, 0
///          20     12  zero
///          32     16  volume identifier
///          48     32  salt, fresh for every write (0 in an empty slot)
///          80     12  nonce, random   (0 in an empty slot)
///          92     32  volume key, AES-256-GCM
///         124     16  tag
///         140      2  count of sealed bytes, at most 1024 (0 unless kind 3)
///         142         sealed bytes: what the device needs to give the slot's secret back; then zero
///        4064     32  SHA-256 of bytes 0…4063
///
/// Bytes 0…79, and of kind 3 those from 140 to the end of the sealed bytes, are associated data. The wrapping key is
/// HKDF-SHA-256 (salt, info `casemate key slot 1` and the kind as one byte) of the scrypt result, of the key file or of 32
/// random bytes that the device sealed, so it too is fresh for every write.
///
/// The checksum needs no key: it tells a damaged slot from a wrong passphrase. It protects nothing; the tag does.
public struct KeySlot: Hashable, Sendable {
    /// What opens the slot.
    public enum Kind: Hashable, Sendable {
        case empty
        case passphrase(ScryptCost)
        case keyFile
        case sealed
    }

    /// How many bytes a device may have stored.
    public static let sealedLimitBytes = 1024

    /// The slot's place in the volume, from 0.
    public let number: Int
    public let kind: Kind
    public let volume: VolumeIdentifier
    /// Bytes 0…139 as stored: associated data and wrapped key.
    let stored: [UInt8]
    /// What the device made.
    package let sealed: [UInt8]

    /// Whether `credential` is of the kind this slot takes; says nothing about its fitting.
    public func takes(_ credential: Credential) -> Bool {
        switch (kind, credential) {
        case (.passphrase, .passphrase), (.keyFile, .keyFile), (.sealed, .sealer): true
        default: false
        }
    }

    /// The volume key, or `nil` when the credential does not fit: another kind, another passphrase, another key file.
    ///
    /// With a passphrase this takes scrypt's time and memory.
    /// - Throws: ``KeySlotError/anotherVolume(slot:found:)``; ``KeySlotError/tooCostly(slot:_:)`` above
    ///   `memoryLimitBytes` or four times as much work, before anything is spent; ``KeySlotError/sealer(slot:_:)``; ``KeySlotError/seal(_:)``.
    public func unwrap(
        _ credential: Credential, volume: VolumeIdentifier, memoryLimitBytes: UInt64 = ScryptCost.memoryLimitBytes
    ) throws(KeySlotError) -> SecretBytes? {
        guard volume == self.volume else { throw .anotherVolume(slot: number, found: self.volume) }
        guard takes(credential) else { return nil }
        if case .passphrase(let cost) = kind {
            guard cost.memoryBytes <= memoryLimitBytes, cost.workBytes / 4 <= memoryLimitBytes else {
                throw .tooCostly(slot: number, cost)
            }
        }
        do throws(SealError) {
            return try stored.withRawBytes { stored throws(SealError) in
                // SAFETY: `stored` has `DiskKeySlot.wrappedEnd` bytes, always.
                let fields = UnsafeRawBufferPointer(rebasing: stored[..<DiskKeySlot.fieldsEnd])
                let salt = UnsafeRawBufferPointer(rebasing: stored[DiskKeySlot.saltStart..<DiskKeySlot.fieldsEnd])
                let wrapped = UnsafeRawBufferPointer(rebasing: stored[DiskKeySlot.fieldsEnd...])
                let key = try DiskKeySlot.wrappingKey(
                    kind: kind, credential: credential, sealed: sealed, salt: salt)
                let data = DiskKeySlot.associatedData([UInt8](fields), sealed)
                return try data.withRawBytes { data throws(SealError) in
                    try WrappedKey.unwrap(wrapped, under: key, associatedData: data)
                }
            }
        } catch {
            if case .sealer(let error) = error { throw .sealer(slot: number, error) }
            throw .seal(error)
        }
    }

    /// The bytes of a slot that `credential` opens, for ``blockBytes`` at the slot's place.
    /// - Parameters:
    ///   - volumeKey: 32 bytes.
    ///   - scrypt: the cost when the credential is a passphrase.
    /// - Throws: ``SealError/unsuitable(_:)`` for a key file that has not exactly 32 bytes or an unsuitable cost.
    public static func wrap(
        volumeKey: SecretBytes, for credential: Credential, slot: Int, volume: VolumeIdentifier, scrypt: ScryptCost
    ) throws(SealError) -> [UInt8] {
        try DiskKeySlot.bytes(
            volumeKey: volumeKey, credential: credential, number: slot, volume: volume, scrypt: scrypt)
    }

    /// The bytes of a slot that nothing opens.
    public static func empty(slot: Int, volume: VolumeIdentifier) throws(SealError) -> [UInt8] {
        try DiskKeySlot.emptyBytes(number: slot, volume: volume)
    }

    /// Checks stored bytes. `bytes` is a private copy of the block where slot `slot` lies.
    /// - Throws: any ``KeySlotError`` but ``KeySlotError/seal(_:)``, except when SHA-256 itself fails.
    public static func parse(_ bytes: UnsafeRawBufferPointer, slot: Int) throws(KeySlotError) -> KeySlot {
        try DiskKeySlot.parse(bytes, slot: slot)
    }
}
