/// Where the parts of an image are: `| header | blocks | pages of level 1 | level 2 | … | the one page on top |`.
///
/// A page holds the hashes of ``fanOut`` blocks or pages below it, and zeros where there are fewer. All of it follows
/// from the number of blocks.
struct ImageLayout: Hashable, Sendable {
    /// Hashes in a page.
    static let fanOut = UInt64(blockBytes / TreeHash.byteCount)
    /// 256 TiB, as large as a filesystem can be; so sums of blocks are far from any overflow.
    static let maximumBlocks: UInt64 = 1 << 36

    let blockCount: UInt64
    /// Pages on each level, from level 1 up; the last has one.
    let pageCounts: [UInt64]

    /// - Returns: `nil` for no blocks, or more than ``maximumBlocks``.
    init?(blockCount: UInt64) {
        guard (1...Self.maximumBlocks).contains(blockCount) else { return nil }
        self.blockCount = blockCount
        var counts: [UInt64] = []
        var below = blockCount
        repeat {
            below = (below + Self.fanOut - 1) / Self.fanOut
            counts.append(below)
        } while below > 1
        pageCounts = counts
    }

    /// The level of the one page on top.
    var topLevel: Int { pageCounts.count }

    /// Size of the whole image.
    var byteCount: UInt64 { (1 + blockCount + pageCounts.reduce(0, +)) * UInt64(blockBytes) }

    /// Offset in bytes of a block.
    func offset(_ block: UInt64) -> UInt64 { (1 + block) * UInt64(blockBytes) }

    /// Offset in bytes of a page.
    func offset(level: Int, page: UInt64) -> UInt64 {
        (1 + blockCount + pageCounts[..<(level - 1)].reduce(0, +) + page) * UInt64(blockBytes)
    }

    /// What a page's hashes are of: blocks for level 1, else pages of the level below.
    func children(level: Int, page: UInt64) -> Range<UInt64> {
        let below = level == 1 ? blockCount : pageCounts[level - 2]
        return page * Self.fanOut..<min((page + 1) * Self.fanOut, below)
    }

    /// The blocks below a page.
    func blocks(level: Int, page: UInt64) -> Range<UInt64> {
        var range = children(level: level, page: page)
        for _ in 1..<level { range = range.lowerBound * Self.fanOut..<range.upperBound * Self.fanOut }
        return range.clamped(to: 0..<blockCount)
    }
}
