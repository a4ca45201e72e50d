import VFS

/// Reads an input as numbers, names and the like; where it ends, zeros follow.
struct FuzzReader {
    private var rest: ArraySlice<UInt8>

    /// What offsets and sizes lie around: the ends of inline data, of blocks, of operations, and of what can be named.
    private static let landmarks: [UInt64] = [
        0, 100, 512, 4096, 8192, 20_000, 65_536, 1 << 20, 1 << 31, 1 << 32, 1 << 51, 1 << 62, UInt64(Int64.max),
        1 << 63, .max,
    ]

    init(_ input: [UInt8]) { rest = input[...] }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    mutating func choice(_ count: Int) -> Int { Int(byte()) % count }

    mutating func isOne(of count: Int) -> Bool { choice(count) == 0 }

    mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<count { bytes.append(byte()) }
        return bytes
    }

    /// A landmark and up to 128 more or fewer.
    mutating func number() -> UInt64 {
        let landmark = Self.landmarks[choice(Self.landmarks.count)]
        return landmark &+ UInt64(bitPattern: Int64(Int8(bitPattern: byte())))
    }

    mutating func range() -> Range<UInt64> {
        let start = number()
        let (end, overflows) = start.addingReportingOverflow(number())
        return start..<(overflows ? .max : end)
    }

    /// One of a few names, so that calls meet; or any bytes.
    /// - Returns: `nil` for what is no name.
    mutating func name() -> Name? {
        let kind = choice(16)
        let bytes: [UInt8]
        switch kind {
        case 0..<12: bytes = Array("n\(kind)".utf8)
        case 12: bytes = [UInt8](repeating: 0x78, count: Name.maximumBytes)
        case 13: bytes = [UInt8](repeating: 0x78, count: Name.maximumBytes + 1)
        default: bytes = self.bytes(choice(8))
        }
        do throws(VFSError) { return try Name(bytes) } catch { return nil }
    }

    /// The name of an extended attribute, or any bytes.
    mutating func attributeName() -> [UInt8] {
        let space = ["user.", "trusted.", "security.", "system.", ""][choice(5)]
        let kind = choice(8)
        switch kind {
        case 0: return AccessControlList.accessName
        case 1: return AccessControlList.defaultName
        case 2: return Array(space.utf8) + [UInt8](repeating: 0x78, count: choice(256))
        case 3: return bytes(choice(12))
        default: return Array(space.utf8) + [0x60 + UInt8(kind)]
        }
    }

    /// Bytes that tell where they belong.
    mutating func pattern() -> [UInt8] {
        let count = Int(min(number(), 70_000)), first = byte()
        return (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) &+ first }
    }
}
