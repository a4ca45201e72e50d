/// What tells one volume from every other: 16 random bytes drawn at `create`, public.
public struct VolumeIdentifier: Hashable, Sendable {
    public static let byteCount = 16

    /// Bytes 0…7 and 8…15, big-endian, so that the text reads in stored order.
    private let high: UInt64
    private let low: UInt64

    /// Takes the first 16 bytes of `bytes`, which holds at least as many.
    public init(loading bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= VolumeIdentifier.byteCount, "a volume identifier has 16 bytes")
        high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// A new identifier: a random UUID as RFC 9562 describes (version 4).
    /// - Throws: ``SealError/randomUnavailable``.
    public static func random() throws(SealError) -> VolumeIdentifier {
        var bytes = try Random.bytes(byteCount)
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        return bytes.withUnsafeBytes { VolumeIdentifier(loading: $0) }
    }

    /// Writes 16 bytes to the start of `buffer`.
    public func store(into buffer: UnsafeMutableRawBufferPointer) {
        precondition(buffer.count >= VolumeIdentifier.byteCount, "a volume identifier has 16 bytes")
        buffer.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
        buffer.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }

    /// The 16 bytes in stored order.
    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.byteCount) { buffer, count in
            store(into: UnsafeMutableRawBufferPointer(buffer))
            count = Self.byteCount
        }
    }
}

extension VolumeIdentifier: CustomStringConvertible, LosslessStringConvertible {
    /// As a UUID in lower case, for example `6b2f1c3e-0d5a-4f7e-9c1b-2a3d4e5f6071`.
    public var description: String {
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if index == 4 || index == 6 || index == 8 || index == 10 { text += "-" }
            if byte < 16 { text += "0" }
            text += String(byte, radix: 16)
        }
        return text
    }

    /// Reads UUID text; hyphens are optional.
    public init?(_ description: String) {
        var bytes: [UInt8] = []
        var high: UInt8?
        for character in description.utf8 where character != UInt8(ascii: "-") {
            guard let digit = Character(UnicodeScalar(character)).hexDigitValue else { return nil }
            if let first = high {
                bytes.append(first << 4 | UInt8(digit))
                high = nil
            } else {
                high = UInt8(digit)
            }
        }
        guard bytes.count == Self.byteCount, high == nil else { return nil }
        self = bytes.withUnsafeBytes { VolumeIdentifier(loading: $0) }
    }
}
