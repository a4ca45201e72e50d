import VFS

/// Ranges of files that share blocks until one of them is written.
extension EncFS {
    /// Extents that one operation shares, or frees in the target before.
    private static let cloneExtents = 64

    /// As `FICLONERANGE` of `ioctl_ficlonerange(2)`. What needs more than one operation may be found half done after a
    /// crash.
    /// - Throws: `EINVAL` for offsets that are not of whole blocks (the range may end with the source), a range behind
    ///   the source's end, overlapping ranges of one file, or what is no regular file; `EISDIR`, `EFBIG`, `ENOSPC`.
    public func clone(
        _ source: NodeID, _ range: Range<UInt64>, to target: NodeID, at offset: UInt64, _ flags: WriteFlags
    ) throws(VFSError) {
        guard range.lowerBound % Self.blockSize == 0, offset % Self.blockSize == 0,
            range.upperBound <= Inode.maximumBytes
        else { throw VFSError(.invalidArgument) }
        let (end, overflows) = offset.addingReportingOverflow(range.upperBound - range.lowerBound)
        guard !overflows, end <= Inode.maximumBytes else { throw VFSError(.fileTooLarge) }
        if source == target, range.overlaps(offset..<end) { throw VFSError(.invalidArgument) }
        guard !range.isEmpty else { return }
        let from = try table.use(source)
        defer { finish(from) }
        let to = try table.use(target)
        defer { finish(to) }
        try leaveInline(from)
        try leaveInline(to)
        layoutLock.lockShared()
        defer { layoutLock.unlock() }
        var position = range.lowerBound / Self.blockSize
        let last = (range.upperBound + Self.blockSize - 1) / Self.blockSize
        while position < last {
            var next = position
            do throws(VFSError) {
                next = try exclusively(from, to) { () throws(VFSError) in
                    try store.change { tree throws(TreeError) in
                        try check(tree, source, range, target, end)
                        return try cloneStep(
                            tree, (source.rawValue, position..<last),
                            (
                                target.rawValue,
                                offset / Self.blockSize + position - range.lowerBound / Self.blockSize
                            ), end: end)
                    }
                }
            } catch {
                guard error.errno == .noSpace, store.hasPendingSpace else { throw error }
                _ = try committer.order()
            }
            position = next
        }
        try exclusively(to) { () throws(VFSError) in
            let now = options.clock()
            try store.change(mayUseReserve: true) { tree throws(TreeError) in
                var record = try tree.inode(target.rawValue, table)
                record.size = max(record.size, end)
                record.modificationTime = now
                record.changeTime = now
                if flags.contains(.clearsPrivileges) {
                    record.dropPrivileges()
                    try dropFileCapabilities(tree, target.rawValue, &record)
                }
                try tree.storeInode(target.rawValue, record, table)
            }
        }
    }

    private func check(
        _ tree: Tree, _ source: NodeID, _ range: Range<UInt64>, _ target: NodeID, _ end: UInt64
    ) throws(TreeError) {
        let from = try tree.inode(source.rawValue, table)
        let to = try tree.inode(target.rawValue, table)
        for kind in [from.kind, to.kind] where kind != .regular {
            throw .refused(kind == .directory ? .isDirectory : .invalidArgument)
        }
        // A part of a block may be shared only where nothing of it is another byte of the target.
        guard range.upperBound <= from.size,
            range.upperBound % Self.blockSize == 0 || range.upperBound == from.size && end >= to.size,
            !from.flags.contains(.hasInlineData), !to.flags.contains(.hasInlineData)
        else { throw .refused(.invalidArgument) }
    }

    /// Shares what the next extents have.
    /// - Parameter last: where the target's range ends, in bytes.
    /// - Returns: the block of the source up to which that is done.
    private func cloneStep(
        _ tree: Tree, _ source: (number: UInt64, blocks: Range<UInt64>), _ target: (number: UInt64, block: UInt64),
        end last: UInt64
    ) throws(TreeError) -> UInt64 {
        let blocks = source.blocks
        var extents: [Extent] = []
        try tree.forEachExtent(source.number, in: blocks) { (extent) throws(TreeError) in
            extents.append(extent)
            return extents.count < Self.cloneExtents
        }
        let isAll = extents.count < Self.cloneExtents
        let end = isAll ? blocks.upperBound : min(blocks.upperBound, extents.last?.fileEnd ?? blocks.upperBound)
        var to = try tree.inode(target.number, table)
        let place = target.block..<target.block + (end - blocks.lowerBound)
        let (freed, isFree) = try tree.freeBlocks(target.number, in: place, limit: Self.cloneExtents)
        to.blocks -= min(freed, to.blocks)
        guard isFree else {
            try tree.storeInode(target.number, to, table)
            return blocks.lowerBound
        }
        // Once more: in one file, freeing may have cut what is to be shared.
        for extent in try tree.extents(source.number, in: blocks.lowerBound..<end) {
            if !extent.mayBeShared {
                var marked = extent
                marked.mayBeShared = true
                try tree.set(ItemKey(source.number, .extent, extent.fileBlock), marked.stored)
            }
            var copy = extent.part((extent.fileBlock..<extent.fileEnd).clamped(to: blocks.lowerBound..<end))
            try tree.share(copy.place)
            copy.mayBeShared = true
            copy.fileBlock = target.block + (copy.fileBlock - blocks.lowerBound)
            try tree.add(target.number, copy)
            to.blocks += copy.count
        }
        // With every step, since a commit may come between two: no bytes stand behind the end of file.
        to.size = max(to.size, min(last, place.upperBound * Self.blockSize))
        try tree.storeInode(target.number, to, table)
        return end
    }
}
