/// A set of numbers, in pieces that exist only where a number is in the set: for the blocks of a full volume 32 MiB for
/// each TiB, whatever the size that the host gives its store.
struct SparseBitmap {
    private static let chunkBits: UInt64 = 32768
    private var chunks: [UInt64: [UInt64]] = [:]
    private(set) var count: UInt64 = 0

    mutating func insert(_ number: UInt64) {
        let chunk = number / Self.chunkBits, bit = Int(number % Self.chunkBits)
        let mask: UInt64 = 1 << UInt64(bit % 64)
        let words = chunks[chunk, default: Array(repeating: 0, count: Int(Self.chunkBits) / 64)]
        guard words[bit / 64] & mask == 0 else { return }
        count += 1
        chunks[chunk, default: words][bit / 64] |= mask
    }

    /// Calls `body` with every number in the set, ascending.
    func forEach<Failure: Error>(_ body: (UInt64) throws(Failure) -> Void) throws(Failure) {
        for chunk in chunks.keys.sorted() {
            for (index, word) in (chunks[chunk] ?? []).enumerated() {
                var rest = word
                while rest != 0 {
                    try body(chunk * Self.chunkBits + UInt64(index) * 64 + UInt64(rest.trailingZeroBitCount))
                    rest &= rest - 1
                }
            }
        }
    }
}
