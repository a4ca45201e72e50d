/// The immutable facts of a volume, stored twice (blocks 0 and 16), the same bytes.
///
///        0  magic             8 bytes  "CASEMATE"
///        8  version           u16      1
///       10  block size log2   u8       12
///       11  segment log2      u8       blocks in a segment, 4…14
///       12  cipher suite      u16      as ``CipherSuite``
///       14  zero              u16
///       16  compatible        u64      features that may be ignored
///       24  read-only-compat. u64      features that writers must know
///       32  incompatible      u64      features that everybody must know
///       40  volume identifier 16 bytes
///       56  created           u64      milliseconds since the epoch
///       64  zero              up to 4032
///     4032  checksum          32 bytes SHA-256 of 0..<4032: tells damage from a wrong key, before any key is held
///     4064  authenticator     32 bytes HMAC-SHA-256 of 0..<4064 under the volume key's superblock key
package struct Superblock: Hashable, Sendable {
    package static let magic: [UInt8] = Array("CASEMATE".utf8)
    package static let version: UInt16 = 1
    package static let knownIncompatible: UInt64 = 0
    package static let knownReadOnlyCompatible: UInt64 = 0

    package var segmentBlocksLog2: UInt8
    package var cipherSuite: CipherSuite
    package var compatible: UInt64
    package var readOnlyCompatible: UInt64
    package var incompatible: UInt64
    package var volume: VolumeIdentifier
    package var createdMilliseconds: UInt64

    package var segmentBlocks: Int { 1 << Int(segmentBlocksLog2) }

    package init(
        segmentBlocksLog2: UInt8, cipherSuite: CipherSuite = .aes256GCM, volume: VolumeIdentifier,
        createdMilliseconds: UInt64
    ) {
        self.segmentBlocksLog2 = segmentBlocksLog2
        self.cipherSuite = cipherSuite
        compatible = 0
        readOnlyCompatible = 0
        incompatible = 0
        self.volume = volume
        self.createdMilliseconds = createdMilliseconds
    }

    static let checksumOffset = 4032
    static let authenticatorOffset = 4064

    /// - Throws: ``VolumeError/notAVolume`` without the magic number, ``VolumeError/superblocksDamaged`` when the
    ///   checksum fails or a field makes no sense, ``VolumeError/newerVersion(found:supported:)`` and
    ///   ``VolumeError/unknownFeatures(incompatible:readOnlyCompatible:)`` for what a later program wrote.
    package static func parse(_ bytes: UnsafeRawBufferPointer) throws(VolumeError) -> Superblock {
        guard bytes.count == blockBytes, bytes.prefix(8).elementsEqual(magic) else { throw .notAVolume }
        let sum: [UInt8]
        do {
            sum = try Digest.sha256(UnsafeRawBufferPointer(rebasing: bytes[..<checksumOffset]))
        } catch { throw .crypto("\(error)") }
        guard bytes[checksumOffset..<authenticatorOffset].elementsEqual(sum) else { throw .superblocksDamaged }
        // SAFETY: the length was checked above.
        let found = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
        guard found <= version else { throw .newerVersion(found: found, supported: version) }
        let superblock: Superblock
        do throws(ParseError) {
            superblock = try Superblock(parsing: bytes)
        } catch { throw .superblocksDamaged }
        guard superblock.incompatible & ~knownIncompatible == 0 else {
            throw .unknownFeatures(
                incompatible: superblock.incompatible & ~knownIncompatible,
                readOnlyCompatible: superblock.readOnlyCompatible & ~knownReadOnlyCompatible)
        }
        return superblock
    }

    private init(parsing bytes: UnsafeRawBufferPointer) throws(ParseError) {
        var reader = ByteReader(bytes)
        try reader.skip(8)
        guard try reader.u16() == Self.version, try reader.u8() == 12 else {
            throw .unexpected(field: "version or block size", position: 8)
        }
        segmentBlocksLog2 = try reader.u8()
        let code = try reader.u16()
        guard Layout.segmentBlocksLog2.contains(segmentBlocksLog2), let suite = CipherSuite(rawValue: code)
        else { throw .unexpected(field: "segment size or cipher suite", position: 11) }
        cipherSuite = suite
        try reader.zeros(2, field: "superblock")
        compatible = try reader.u64()
        readOnlyCompatible = try reader.u64()
        incompatible = try reader.u64()
        volume = try reader.volumeIdentifier()
        createdMilliseconds = try reader.u64()
    }

    /// The 4096 bytes to store, authenticated under `key` (``VolumeKeys/superblockKey(version:)``).
    package func serialise(key: SecretBytes) throws(SealError) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        var writer = ByteWriter(buffer.bytes)
        writer.bytes(Self.magic)
        writer.u16(Self.version)
        writer.u8(12)
        writer.u8(segmentBlocksLog2)
        writer.u16(cipherSuite.rawValue)
        writer.u16(0)
        writer.u64(compatible)
        writer.u64(readOnlyCompatible)
        writer.u64(incompatible)
        writer.volumeIdentifier(volume)
        writer.u64(createdMilliseconds)
        writer.zeros(upTo: Self.checksumOffset)
        writer.bytes(try Digest.sha256(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<Self.checksumOffset])))
        writer.bytes(
            try Digest.hmacSHA256(
                key: key, UnsafeRawBufferPointer(rebasing: buffer.bytes[..<Self.authenticatorOffset])))
        return buffer
    }

    /// What roots bind of a stored superblock: its checksum, which covers everything but the authenticator.
    package static func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        Array(bytes[checksumOffset..<authenticatorOffset])
    }

    /// Whether the stored authenticator is the one `key` gives.
    package static func isAuthentic(_ bytes: UnsafeRawBufferPointer, key: SecretBytes) throws(SealError) -> Bool {
        let expected = try Digest.hmacSHA256(
            key: key, UnsafeRawBufferPointer(rebasing: bytes[..<authenticatorOffset]))
        return expected.withUnsafeBytes {
            Digest.areEqual($0, UnsafeRawBufferPointer(rebasing: bytes[authenticatorOffset..<blockBytes]))
        }
    }
}
