/// A number of bytes as people write it: `4096`, `64K`, `2G`, `1.5T`; powers of 1024.
public struct ByteCount: Hashable, Sendable, CustomStringConvertible {
    public let bytes: UInt64
    public init(bytes: UInt64) { self.bytes = bytes }

    private static let units: [(letter: Character, shift: UInt64)] = [("K", 10), ("M", 20), ("G", 30), ("T", 40)]

    /// The value of `text`, or `nil` if it is not a number with an optional unit (K, M, G or T, then optionally `iB` or `B`), or
    /// too large, or a fraction that is no whole number of bytes.
    public init?(_ text: String) {
        var digits = text.uppercased()[...]
        if digits.hasSuffix("IB") {
            digits = digits.dropLast(2)
            guard digits.last?.isLetter == true else { return nil }
        } else if digits.hasSuffix("B") {
            digits = digits.dropLast()
        }
        var shift: UInt64 = 0
        if let unit = Self.units.first(where: { $0.letter == digits.last }) {
            shift = unit.shift
            digits = digits.dropLast()
        }
        let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, Self.areDigits(first), let whole = UInt64(first) else { return nil }
        let (scaled, overflow) = whole.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        guard parts.count == 2 else {
            bytes = scaled
            return
        }
        // Six decimals times 2^40 stay in 64 bits.
        guard Self.areDigits(parts[1]), parts[1].count <= 6, let fraction = UInt64(parts[1]) else { return nil }
        let power = (0..<parts[1].count).reduce(UInt64(1)) { product, _ in product * 10 }
        let (numerator, tooLarge) = fraction.multipliedReportingOverflow(by: 1 << shift)
        guard !tooLarge else { return nil }
        let (sum, carries) = scaled.addingReportingOverflow(numerator / power)
        guard !carries, numerator % power == 0 || shift > 0 else { return nil }
        bytes = sum
    }

    private static func areDigits(_ text: Substring) -> Bool {
        !text.isEmpty && text.allSatisfy { $0.isASCII && $0.isNumber }
    }

    /// With one decimal at most and a binary unit: `2 GiB`, `1.5 TiB`, `512 bytes`.
    public var description: String {
        guard let unit = Self.units.last(where: { bytes >= 1 << $0.shift }) else { return "\(bytes) bytes" }
        let fraction = ((bytes & ((1 << unit.shift) - 1)) * 10) >> unit.shift
        return "\(bytes >> unit.shift)\(fraction == 0 ? "" : ".\(fraction)") \(unit.letter)iB"
    }
}
