/// An input for something large: changes to single numbers of a sound one.
///
///      0  target  u16   which of the blocks that matter; modulo their count
///      2  offset  u16   in it; modulo its size
///      4  width   u8    1, 2, 4 or 8 bytes, by its two low bits; bit 2: the value is added instead of stored
///      5  zero    u8
///      6  value   u64
public struct FuzzEdit: Sendable {
    static let byteCount = 14
    /// More would only undo one another.
    static let maximumCount = 32

    var target: Int
    var offset: Int
    var width: Int
    var adds: Bool
    var value: UInt64

    static func parse(_ input: [UInt8]) -> [FuzzEdit] {
        stride(from: 0, to: min(input.count, maximumCount * byteCount) - byteCount + 1, by: byteCount).map {
            start in
            func number(_ offset: Int, _ count: Int) -> UInt64 {
                (0..<count).reduce(0) { $0 | UInt64(input[start + offset + $1]) << UInt64(8 * $1) }
            }
            return FuzzEdit(
                target: Int(number(0, 2)), offset: Int(number(2, 2)), width: 1 << Int(number(4, 1) & 3),
                adds: number(4, 1) & 4 != 0, value: number(6, 8))
        }
    }

    /// The bytes after the edit.
    func apply(to bytes: inout [UInt8], from start: Int) {
        let room = bytes.count - start
        guard room >= 8 else { return }
        let place = start + offset % (room - width + 1)
        var number = value
        if adds {
            for index in 0..<width { number &+= UInt64(bytes[place + index]) << UInt64(8 * index) }
        }
        for index in 0..<width { bytes[place + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index)) }
    }

    /// One edit of each block that matters, with the numbers that parsers trip over.
    static func seeds(blocks: Int) -> [[UInt8]] {
        let values: [UInt64] = [0, 1, .max, 1 << 31, 1 << 63, 0xFFFF, 1 << 40]
        return (0..<min(blocks, 48)).map { target in
            let value = values[target % values.count]
            var bytes: [UInt8] = []
            for offset in [target * 8 % 256, target * 24 % 4096] {
                bytes += [UInt8(target & 0xFF), UInt8(target >> 8), UInt8(offset & 0xFF), UInt8(offset >> 8)]
                bytes += [UInt8(target % 4), 0]
                bytes += (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
            }
            return bytes
        }
    }
}
