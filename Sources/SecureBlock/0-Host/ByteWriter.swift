/// The counterpart of ``ByteReader``: writes little-endian fields one after the other into a caller's buffer.
///
/// What is written is ours, so a field that does not fit is a bug here and traps.
package struct ByteWriter {
    // SAFETY: the caller keeps `buffer` alive while the writer is used; `take` keeps every store inside.
    private let buffer: UnsafeMutableRawBufferPointer
    package private(set) var position = 0

    package init(_ buffer: UnsafeMutableRawBufferPointer) {
        self.buffer = buffer
    }

    @inline(__always)
    private mutating func take(_ count: Int) -> Int {
        precondition(count >= 0 && count <= buffer.count - position, "a field past the end of its structure")
        let start = position
        position += count
        return start
    }

    @inline(__always)
    package mutating func u8(_ value: UInt8) {
        buffer[take(1)] = value
    }

    @inline(__always)
    package mutating func u16(_ value: UInt16) {
        buffer.storeBytes(of: value.littleEndian, toByteOffset: take(2), as: UInt16.self)
    }

    @inline(__always)
    package mutating func u32(_ value: UInt32) {
        buffer.storeBytes(of: value.littleEndian, toByteOffset: take(4), as: UInt32.self)
    }

    @inline(__always)
    package mutating func u40(_ value: UInt64) {
        precondition(value >> 40 == 0, "a value of 40 bits")
        let start = take(5)
        buffer.storeBytes(of: UInt32(truncatingIfNeeded: value).littleEndian, toByteOffset: start, as: UInt32.self)
        buffer[start + 4] = UInt8(truncatingIfNeeded: value >> 32)
    }

    @inline(__always)
    package mutating func u64(_ value: UInt64) {
        buffer.storeBytes(of: value.littleEndian, toByteOffset: take(8), as: UInt64.self)
    }

    @inline(__always)
    package mutating func bytes(_ source: UnsafeRawBufferPointer) {
        let start = take(source.count)
        UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + source.count]).copyMemory(from: source)
    }

    package mutating func bytes(_ source: [UInt8]) {
        source.withUnsafeBytes { bytes($0) }
    }

    @inline(__always)
    package mutating func tag(_ tag: Tag) {
        u64(tag.low)
        u64(tag.high)
    }

    package mutating func volumeIdentifier(_ identifier: VolumeIdentifier) {
        let start = take(VolumeIdentifier.byteCount)
        identifier.store(into: UnsafeMutableRawBufferPointer(rebasing: buffer[start..<position]))
    }

    package mutating func zeros(_ count: Int) {
        let start = take(count)
        for index in start..<start + count { buffer[index] = 0 }
    }

    /// Fills with zeros up to `position`, which lies at or after the present one.
    package mutating func zeros(upTo position: Int) {
        zeros(position - self.position)
    }

    /// Direct access to the next `count` bytes, for a cipher that writes in place.
    @inline(__always)
    package mutating func reserve(_ count: Int) -> UnsafeMutableRawBufferPointer {
        let start = take(count)
        return UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + count])
    }
}
