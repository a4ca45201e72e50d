import VFS

/// Taking a range out of a file and putting one in: extents get other places in the file, data stays where it is.
///
/// The first operation sets the new size and notes what is still to move; a chain of operations moves it. Nobody sees
/// the middle: who needs the file meanwhile finishes the chain first, and so does the next writable mount after a crash.
extension EncFS {
    /// Extents that one operation moves.
    private static let shiftExtents = 64

    /// As `FALLOC_FL_COLLAPSE_RANGE`.
    /// - Throws: `EINVAL` for a range that is not of whole blocks or not followed by bytes of the file.
    func collapse(_ inode: LiveInode, _ range: Range<UInt64>) throws(VFSError) {
        let blocks = try wholeBlocks(range)
        layoutLock.lockShared()
        defer { layoutLock.unlock() }
        var isEmpty = false
        while !isEmpty {
            isEmpty = try exclusivelyInBlocks(inode) { () throws(VFSError) in
                try store.change(mayUseReserve: true) { tree throws(TreeError) in
                    var record = try tree.inode(inode.number, table)
                    guard range.upperBound < record.size else { throw .refused(.invalidArgument) }
                    let (freed, isDone) = try tree.freeBlocks(
                        inode.number, in: blocks, limit: Self.operationExtents)
                    record.blocks -= min(freed, record.blocks)
                    guard isDone else {
                        try tree.storeInode(inode.number, record, table)
                        return false
                    }
                    record.size -= UInt64(range.count)
                    let intent = ShiftIntent(
                        from: blocks.upperBound, distance: UInt64(blocks.count), position: blocks.upperBound,
                        isUpwards: false)
                    try begin(intent, inode, tree, &record)
                    return true
                }
            }
        }
        try exclusively(inode) { () throws(VFSError) in }
    }

    /// As `FALLOC_FL_INSERT_RANGE`.
    /// - Throws: `EINVAL` for a range that is not of whole blocks or begins at or behind the end of file, `EFBIG`.
    func insert(_ inode: LiveInode, _ range: Range<UInt64>) throws(VFSError) {
        let blocks = try wholeBlocks(range)
        layoutLock.lockShared()
        defer { layoutLock.unlock() }
        try exclusivelyInBlocks(inode) { () throws(VFSError) in
            try store.change { tree throws(TreeError) in
                var record = try tree.inode(inode.number, table)
                guard range.lowerBound < record.size else { throw .refused(.invalidArgument) }
                let last = try tree.lastExtent(inode.number, upTo: Self.blocksEnd)
                guard record.size <= Inode.maximumBytes - UInt64(range.count),
                    last?.fileEnd ?? 0 <= Self.blocksEnd - UInt64(blocks.count)
                else { throw .refused(.fileTooLarge) }
                try split(tree, inode.number, at: blocks.lowerBound)
                record.size += UInt64(range.count)
                let intent = ShiftIntent(
                    from: blocks.lowerBound, distance: UInt64(blocks.count), position: Self.blocksEnd,
                    isUpwards: true)
                try begin(intent, inode, tree, &record)
            }
        }
        try exclusively(inode) { () throws(VFSError) in }
    }

    private func wholeBlocks(_ range: Range<UInt64>) throws(VFSError) -> Range<UInt64> {
        guard range.lowerBound % Self.blockSize == 0, range.upperBound % Self.blockSize == 0 else {
            throw VFSError(.invalidArgument)
        }
        return Self.blocks(range)
    }

    private func begin(
        _ intent: ShiftIntent, _ inode: LiveInode, _ tree: Tree, _ record: inout Inode
    ) throws(TreeError) {
        let now = options.clock()
        record.modificationTime = now
        record.changeTime = now
        try tree.storeInode(inode.number, record, table)
        try tree.set(ItemKey(ItemKey.filesystem, .shiftIntent, inode.number), intent.stored)
        tree.afterKeep.append { inode.isShifting = true }
    }

    /// Makes an extent end at `block`, if one reaches over it.
    private func split(_ tree: Tree, _ number: UInt64, at block: UInt64) throws(TreeError) {
        guard block > 0, let extent = try tree.lastExtent(number, upTo: block - 1), extent.fileEnd > block else {
            return
        }
        try tree.set(ItemKey(number, .extent, extent.fileBlock), extent.part(extent.fileBlock..<block).stored)
        try tree.insert(ItemKey(number, .extent, block), extent.part(block..<extent.fileEnd).stored)
    }

    /// One step of the chain, with the inode to itself.
    /// - Returns: whether nothing is left to move.
    func shiftStep(_ number: UInt64) throws(VFSError) -> Bool {
        try store.change(mayUseReserve: true) { tree throws(TreeError) in
            let key = ItemKey(ItemKey.filesystem, .shiftIntent, number)
            guard let stored = try tree.value(of: key) else { return true }
            var intent: ShiftIntent
            do throws(StoredError) { intent = try ShiftIntent(stored: stored) } catch {
                throw .unparsable(key, error)
            }
            for _ in 0..<Self.shiftExtents {
                guard let extent = try nextToShift(tree, number, intent) else {
                    try tree.remove(key)
                    return true
                }
                var moved = extent
                moved.fileBlock =
                    intent.isUpwards ? extent.fileBlock + intent.distance : extent.fileBlock - intent.distance
                intent.position = intent.isUpwards ? extent.fileBlock : extent.fileEnd
                try tree.remove(ItemKey(number, .extent, extent.fileBlock))
                try tree.add(number, moved)
            }
            try tree.set(key, intent.stored)
            return false
        }
    }

    private func nextToShift(_ tree: Tree, _ number: UInt64, _ intent: ShiftIntent) throws(TreeError) -> Extent? {
        if intent.isUpwards {
            guard intent.position > intent.from,
                let extent = try tree.lastExtent(number, upTo: intent.position - 1), extent.fileBlock >= intent.from
            else { return nil }
            return extent
        }
        var found: Extent?
        try tree.forEachExtent(number, in: intent.position..<Self.blocksEnd) { (extent) throws(TreeError) in
            guard extent.fileBlock >= intent.position else { throw .corrupt("extents of inode \(number) overlap") }
            found = extent
            return false
        }
        return found
    }
}
