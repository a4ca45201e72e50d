/// The authentication tag of one sealed piece: 16 bytes, stored as they come from the cipher.
public struct Tag: Hashable, Sendable {
    public static let byteCount = 16

    /// Bytes 0…7 and 8…15, little-endian.
    public let low: UInt64
    public let high: UInt64

    @inlinable public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// Takes the first 16 bytes of `bytes`, which holds at least as many.
    @inlinable public init(loading bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= Tag.byteCount, "a tag has 16 bytes")
        low = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        high = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// Writes 16 bytes to the start of `buffer`.
    @inlinable public func store(into buffer: UnsafeMutableRawBufferPointer) {
        precondition(buffer.count >= Tag.byteCount, "a tag has 16 bytes")
        buffer.storeBytes(of: low.littleEndian, toByteOffset: 0, as: UInt64.self)
        buffer.storeBytes(of: high.littleEndian, toByteOffset: 8, as: UInt64.self)
    }

    public static let zero = Tag(low: 0, high: 0)
}

extension Tag: CustomStringConvertible {
    /// The 16 bytes in hexadecimal, in stored order.
    public var description: String {
        var text = ""
        for word in [low, high] {
            for shift in stride(from: 0, to: 64, by: 8) {
                let byte = UInt8(truncatingIfNeeded: word >> UInt64(shift))
                if byte < 16 { text += "0" }
                text += String(byte, radix: 16)
            }
        }
        return text
    }
}
