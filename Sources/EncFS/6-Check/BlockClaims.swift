/// Which blocks something was found to use: a bitmap a group, made when first needed.
struct BlockClaims {
    private var groups: [Int: [UInt64]] = [:]

    /// Claims a block.
    /// - Returns: whether nobody had.
    mutating func claim(_ block: UInt64) -> Bool {
        let group = Int(block / Superblock.groupBlocks)
        let bit = Int(block % Superblock.groupBlocks)
        let mask: UInt64 = 1 << UInt64(bit % 64)
        let isNew = (groups[group]?[bit / 64] ?? 0) & mask == 0
        groups[group, default: Array(repeating: 0, count: BitmapGroup.wordCount)][bit / 64] |= mask
        return isNew
    }

    /// Claims a run.
    /// - Returns: the first block somebody had already.
    mutating func claim(_ first: UInt64, count: UInt64) -> UInt64? {
        var shared: UInt64?
        for block in first..<first + count where !claim(block) && shared == nil { shared = block }
        return shared
    }

    func words(group: Int) -> [UInt64] { groups[group] ?? Array(repeating: 0, count: BitmapGroup.wordCount) }
}
