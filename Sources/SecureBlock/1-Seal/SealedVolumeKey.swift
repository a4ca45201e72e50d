/// An older volume key, sealed under the present one: a root keeps those that something on the volume still needs.
///
///      0  version  u32
///      4  zero     u32
///      8  key      60 bytes  AES-256-GCM: nonce 12, key 32, tag 16
///     68  zero     u32
///
/// The wrapping key is HKDF-SHA-256 of the present volume key with the info `casemate older keys`. Associated data are
/// the volume identifier and both versions. Sealed whatever the cipher suite: a root may lie in clear.
package struct SealedVolumeKey: Hashable, Sendable {
    package static let byteCount = 72
    /// How many a root can keep; a further rotation waits until one is let go of.
    package static let maximumCount = 4
    private static let wrappedBytes = DiskKeySlot.volumeKeyBytes + WrappedKey.overheadBytes

    package let version: UInt32
    private let wrapped: [UInt8]

    /// - Parameter present: the volume key of version `presentVersion`, which opens it again.
    init(
        _ key: SecretBytes, version: UInt32, under present: SecretBytes, _ presentVersion: UInt32,
        _ volume: VolumeIdentifier
    ) throws(SealError) {
        self.version = version
        let data = Self.associatedData(version, presentVersion, volume)
        let wrapping = try Self.wrappingKey(present, volume)
        wrapped = try data.withRawBytes { data throws(SealError) in
            try WrappedKey.wrap(key, under: wrapping, associatedData: data)
        }
    }

    /// - Returns: `nil` when it was not sealed under this key, for this version and volume.
    func open(under present: SecretBytes, _ presentVersion: UInt32, _ volume: VolumeIdentifier)
        throws(SealError) -> SecretBytes?
    {
        let data = Self.associatedData(version, presentVersion, volume)
        let wrapping = try Self.wrappingKey(present, volume)
        return try data.withRawBytes { data throws(SealError) in
            try wrapped.withRawBytes { wrapped throws(SealError) in
                try WrappedKey.unwrap(wrapped, under: wrapping, associatedData: data)
            }
        }
    }

    package init(parsing reader: inout ByteReader) throws(ParseError) {
        version = try reader.u32()
        try reader.zeros(4, field: "older volume key")
        wrapped = Array(try reader.bytes(Self.wrappedBytes))
        try reader.zeros(4, field: "older volume key")
    }

    package func write(to writer: inout ByteWriter) {
        writer.u32(version)
        writer.u32(0)
        writer.bytes(wrapped)
        writer.u32(0)
    }

    private static func wrappingKey(_ present: SecretBytes, _ volume: VolumeIdentifier) throws(SealError)
        -> SecretBytes
    {
        try KeyDerivation.hkdf(key: present, salt: volume.bytes, info: Array("casemate older keys".utf8))
    }

    private static func associatedData(_ version: UInt32, _ present: UInt32, _ volume: VolumeIdentifier) -> [UInt8]
    {
        withUnsafeBytes(of: (version.littleEndian, present.littleEndian)) { volume.bytes + Array($0) }
    }
}
