extension Space {
    /// Blocks of `range` in use, ones freed since the last commit included.
    func usedBlocks(in range: Range<UInt64>) throws(TreeError) -> UInt64 {
        var used: UInt64 = 0
        var position = range.lowerBound
        while position < range.upperBound {
            let number = Int(position / Self.groupBlocks)
            let base = UInt64(number) * Self.groupBlocks
            let end = min(range.upperBound, base + Self.groupBlocks)
            if end - position < Self.groupBlocks || UInt64(freeCounts[number]) < Self.groupBlocks {
                let group = try group(number)
                used += UInt64(group.usedCount(in: Int(position - base)..<Int(end - base)))
            }
            position = end
        }
        return used
    }

    /// Takes over the layout of a larger filesystem: groups are added, the old last one loses its end.
    ///
    /// Nothing stands where the larger table and bitmaps will; the old last group and those the larger fixed part
    /// reaches into are loaded, and no operation runs.
    func grow(to larger: Superblock, _ added: [BitmapGroup]) throws(TreeError) {
        let old = blocks
        let oldStart = dataStart
        let partial = old..<min(larger.blocks, UInt64(groups.count) * Self.groupBlocks)
        try mark(partial, isUsed: false)
        for group in added {
            groups.append(group)
            loadedCount += 1
            freeCounts.append(UInt32(group.free))
            freeBlocks += UInt64(group.free)
            group.isDirty = true
        }
        adopt(larger)
        try mark(oldStart..<min(larger.dataStart, old), isUsed: true)
    }

    /// Takes over the layout of a smaller filesystem: groups behind it go, the last one ends with it.
    ///
    /// Nothing stands behind the new end; the groups it cuts and those of the old fixed part are loaded, and no
    /// operation runs.
    func shrink(to smaller: Superblock) throws(TreeError) {
        let old = blocks
        let oldStart = dataStart
        let kept = Int(smaller.groups)
        for number in kept..<groups.count {
            freeBlocks -= UInt64(freeCounts[number])
            if groups[number] != nil { loadedCount -= 1 }
        }
        groups.removeLast(groups.count - kept)
        freeCounts.removeLast(freeCounts.count - kept)
        adopt(smaller)
        try mark(smaller.blocks..<min(old, UInt64(kept) * Self.groupBlocks), isUsed: true)
        try mark(smaller.dataStart..<oldStart, isUsed: false)
    }

    /// Marks blocks that no operation owns.
    private func mark(_ range: Range<UInt64>, isUsed: Bool) throws(TreeError) {
        var position = range.lowerBound
        while position < range.upperBound {
            let number = Int(position / Self.groupBlocks)
            let base = UInt64(number) * Self.groupBlocks
            let end = min(range.upperBound, base + Self.groupBlocks)
            let group = try group(number)
            let bits = Int(position - base)..<Int(end - base)
            let before = UInt64(freeCounts[number])
            if isUsed { group.take(bits) } else { group.giveBack(bits) }
            group.isDirty = true
            freeCounts[number] = UInt32(group.free)
            freeBlocks = freeBlocks - before + UInt64(group.free)
            position = end
        }
    }
}
