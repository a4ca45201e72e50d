/// The one way host bytes become numbers: a bounds-checked little-endian cursor.
///
/// Read from a private copy: a host can change shared bytes between two reads.
///
///     var reader = ByteReader(block)
///     let magic = try reader.u64()
///     let count = try reader.u16()
package struct ByteReader {
    // SAFETY: the caller keeps `bytes` alive while the reader is used; every access below is checked against its count
    // by `take`, and loads are unaligned, so no host value can move a read outside.
    private let bytes: UnsafeRawBufferPointer
    package private(set) var position = 0

    package init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    package var remaining: Int { bytes.count - position }

    @inline(__always)
    private mutating func take(_ count: Int) throws(ParseError) -> Int {
        guard count >= 0, count <= bytes.count - position else {
            throw .pastEnd(position: position, wanted: count)
        }
        let start = position
        position += count
        return start
    }

    @inline(__always)
    package mutating func u8() throws(ParseError) -> UInt8 {
        bytes[try take(1)]
    }

    @inline(__always)
    package mutating func u16() throws(ParseError) -> UInt16 {
        UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: try take(2), as: UInt16.self))
    }

    @inline(__always)
    package mutating func u32() throws(ParseError) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: try take(4), as: UInt32.self))
    }

    /// Five bytes: a physical block number as nonces and map entries store it.
    @inline(__always)
    package mutating func u40() throws(ParseError) -> UInt64 {
        let start = try take(5)
        let low = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
        return UInt64(low) | UInt64(bytes[start + 4]) << 32
    }

    @inline(__always)
    package mutating func u64() throws(ParseError) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: try take(8), as: UInt64.self))
    }

    /// The next `count` bytes in place; valid as long as the bytes behind the reader are.
    @inline(__always)
    package mutating func bytes(_ count: Int) throws(ParseError) -> UnsafeRawBufferPointer {
        let start = try take(count)
        return UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])
    }

    @inline(__always)
    package mutating func skip(_ count: Int) throws(ParseError) {
        _ = try take(count)
    }

    /// The next sixteen bytes as a tag.
    @inline(__always)
    package mutating func tag() throws(ParseError) -> Tag {
        Tag(loading: try bytes(Tag.byteCount))
    }

    /// The next sixteen bytes as a volume identifier.
    package mutating func volumeIdentifier() throws(ParseError) -> VolumeIdentifier {
        VolumeIdentifier(loading: try bytes(VolumeIdentifier.byteCount))
    }

    /// Passes over `count` bytes that must all be zero: reserved fields that a later format may give a meaning.
    package mutating func zeros(_ count: Int, field: String) throws(ParseError) {
        let start = position
        for byte in try bytes(count) where byte != 0 {
            throw .unexpected(field: field, position: start)
        }
    }
}
