/// A set of block numbers, in pieces that exist only where a block is in the set: 32 MiB for each TiB of a full volume,
/// whatever the size that the host gives its store.
struct BlockBitmap {
    private static let chunkBlocks: UInt64 = 32768
    private var chunks: [UInt64: [UInt64]] = [:]
    private(set) var count: UInt64 = 0

    mutating func insert(_ block: UInt64) {
        let chunk = block / Self.chunkBlocks, bit = Int(block % Self.chunkBlocks)
        let mask: UInt64 = 1 << UInt64(bit % 64)
        let words = chunks[chunk, default: Array(repeating: 0, count: Int(Self.chunkBlocks) / 64)]
        guard words[bit / 64] & mask == 0 else { return }
        count += 1
        chunks[chunk, default: words][bit / 64] |= mask
    }

    func contains(_ block: UInt64) -> Bool {
        let bit = Int(block % Self.chunkBlocks)
        guard let words = chunks[block / Self.chunkBlocks] else { return false }
        return words[bit / 64] >> UInt64(bit % 64) & 1 == 1
    }

    /// Calls `body` with every block in the set, ascending.
    func forEach<Failure: Error>(_ body: (UInt64) throws(Failure) -> Void) throws(Failure) {
        for chunk in chunks.keys.sorted() {
            for (index, word) in (chunks[chunk] ?? []).enumerated() {
                var rest = word
                while rest != 0 {
                    try body(chunk * Self.chunkBlocks + UInt64(index) * 64 + UInt64(rest.trailingZeroBitCount))
                    rest &= rest - 1
                }
            }
        }
    }
}
