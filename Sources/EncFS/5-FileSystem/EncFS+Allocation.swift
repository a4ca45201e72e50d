import VFS

extension EncFS {
    /// `ENODEV`.
    private static let noDevice = Errno(rawValue: 19)
    /// Blocks one operation allocates: 32 MiB.
    private static let operationBlocks: UInt64 = 8192

    /// As `fallocate(2)`. Blocks that are allocated and never written read as zeros, as the device promises. A range to
    /// allocate or free that needs more than one operation may be found half done after a crash.
    public func allocate(
        _ node: NodeID, _ handle: Handle, _ range: Range<UInt64>, _ mode: AllocationMode
    ) throws(VFSError) {
        guard !range.isEmpty else { throw VFSError(.invalidArgument) }
        guard range.upperBound <= Inode.maximumBytes else { throw VFSError(.fileTooLarge) }
        let inode = try table.use(node)
        defer { finish(inode) }
        let kind = try store.look { tree throws(TreeError) in try tree.inode(node.rawValue, table).kind }
        guard kind == .regular else { throw VFSError(kind == .directory ? .isDirectory : Self.noDevice) }
        switch mode {
        case .allocate, .allocateKeepingSize:
            try requireRoom(inode, range)
            try fill(inode, range, keepsSize: mode == .allocateKeepingSize)
        case .punchHole: try punch(inode, range)
        case .zero, .zeroKeepingSize:
            // What cannot be filled again must not be freed.
            try requireRoom(inode, range)
            try punch(inode, range)
            try fill(inode, range, keepsSize: mode == .zeroKeepingSize)
        case .collapse: try collapse(inode, range)
        case .insert: try insert(inode, range)
        }
    }

    /// - Throws: `ENOSPC` for more blocks than there can be.
    private func requireRoom(_ inode: LiveInode, _ range: Range<UInt64>) throws(VFSError) {
        let present = try store.look { tree throws(TreeError) in try tree.inode(inode.number, table).blocks }
        guard UInt64(Self.blocks(range).count) <= (try statistics().availableBlocks) + present else {
            throw VFSError(.noSpace)
        }
    }

    private func fill(_ inode: LiveInode, _ range: Range<UInt64>, keepsSize: Bool) throws(VFSError) {
        let blocks = Self.blocks(range)
        var position = blocks.lowerBound
        while position < blocks.upperBound {
            let end = min(position + Self.operationBlocks, blocks.upperBound)
            let isLast = end == blocks.upperBound
            let now = options.clock()
            let part = position..<end
            try retryingForSpace { () throws(VFSError) in
                try exclusivelyInBlocks(inode) { () throws(VFSError) in
                    try store.change { tree throws(TreeError) in
                        var record = try tree.inode(inode.number, table)
                        let holes = try tree.fillHoles(inode.number, in: part)
                        record.blocks += holes.reduce(0) { $0 + UInt64($1.count) }
                        if isLast, !keepsSize, record.size < range.upperBound {
                            record.size = range.upperBound
                            record.modificationTime = now
                        }
                        record.changeTime = now
                        try tree.storeInode(inode.number, record, table)
                    }
                }
            }
            position = end
        }
    }

    private func retryingForSpace(_ body: () throws(VFSError) -> Void) throws(VFSError) {
        do throws(VFSError) { return try body() } catch {
            guard error.errno == .noSpace, store.hasPendingSpace else { throw error }
        }
        _ = try committer.order()
        try body()
    }

    /// Frees the whole blocks of a range and writes zeros over the rest of it, up to the end of file.
    private func punch(_ inode: LiveInode, _ range: Range<UInt64>) throws(VFSError) {
        let low = (range.lowerBound + Self.blockSize - 1) / Self.blockSize
        let high = range.upperBound / Self.blockSize
        if low < high {
            // Bytes in the tree may be of a block in the middle, which writing zeros at an edge would bring back.
            try clear(inode, low * Self.blockSize..<high * Self.blockSize, onlyInline: true)
            var isDone = false
            while !isDone {
                isDone = try exclusively(inode) { () throws(VFSError) in
                    try store.change(mayUseReserve: true) { tree throws(TreeError) in
                        var record = try tree.inode(inode.number, table)
                        let (freed, isDone) = try tree.freeBlocks(
                            inode.number, in: low..<high, limit: Self.operationExtents)
                        record.blocks -= min(freed, record.blocks)
                        try tree.storeInode(inode.number, record, table)
                        return isDone
                    }
                }
            }
        }
        let middle = low < high ? low * Self.blockSize..<high * Self.blockSize : range.upperBound..<range.upperBound
        for edge in [
            range.lowerBound..<min(middle.lowerBound, range.upperBound), middle.upperBound..<range.upperBound,
        ]
        where !edge.isEmpty {
            try clear(inode, edge)
        }
    }

    /// Writes zeros where bytes are; holes stay holes.
    private func clear(_ inode: LiveInode, _ range: Range<UInt64>, onlyInline: Bool = false) throws(VFSError) {
        try rewrite(inode) { tree throws(TreeError) in
            let record = try tree.inode(inode.number, table)
            let clipped = range.clamped(to: 0..<record.size)
            guard !clipped.isEmpty else { return nil }
            if let inline = try tree.inlineData(inode.number, record), inline.range.overlaps(clipped) {
                // A range that begins in the block before a tail is all written.
                let part = onlyInline || inline.offset == 0 ? clipped.clamped(to: inline.range) : clipped
                return (part.lowerBound, [UInt8](repeating: 0, count: part.count))
            }
            guard !onlyInline, try !tree.extents(inode.number, in: Self.blocks(clipped)).isEmpty else { return nil }
            return (clipped.lowerBound, [UInt8](repeating: 0, count: clipped.count))
        }
    }

    /// Writes what `bytes` says once the inode is ours.
    private func rewrite(
        _ inode: LiveInode, _ bytes: (Tree) throws(TreeError) -> (offset: UInt64, bytes: [UInt8])?
    ) throws(VFSError) {
        try committingWhereNeeded { () throws(VFSError) in
            try exclusively(inode) { () throws(VFSError) -> WriteOutcome in
                guard let (offset, bytes) = try store.look(bytes) else { return .written(count: 0, end: 0) }
                return try write(bytes, to: inode, at: offset, .bytes)
            }
        }
    }
}
