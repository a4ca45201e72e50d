/// What happened, line by line, and a hash of it: equal seeds give equal hashes, on every machine.
///
/// Lines never contain stored bytes: ciphertext depends on random keys, what happens must not.
public struct SimTrace: Sendable {
    /// The lines, when they are kept.
    public private(set) var lines: [String] = []
    /// FNV-1a (Fowler, Noll and Vo) over all lines.
    public private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    public private(set) var lineCount = 0
    private let keepsLines: Bool

    /// - Parameter keepsLines: whether ``lines`` is wanted; the hash is there in any case.
    public init(keepsLines: Bool = false) {
        self.keepsLines = keepsLines
    }

    public mutating func note(_ line: @autoclosure () -> String) {
        let line = line()
        for byte in line.utf8 { absorb(byte) }
        absorb(UInt8(0x0A))
        lineCount += 1
        if keepsLines { lines.append(line) }
    }

    /// As ``note(_:)`` for a call of a host: numbers go into the hash, and a line is made only if it is kept.
    public mutating func note(_ call: StaticString, _ first: UInt64, _ second: UInt64) {
        call.withUTF8Buffer { bytes in
            for byte in bytes { absorb(byte) }
        }
        absorb(first)
        absorb(second)
        lineCount += 1
        if keepsLines { lines.append("  \(call) \(first) \(second)") }
    }

    private mutating func absorb(_ byte: UInt8) {
        hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
    }

    private mutating func absorb(_ word: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) { absorb(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
    }
}
