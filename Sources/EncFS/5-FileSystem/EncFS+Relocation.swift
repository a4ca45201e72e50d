import SecureBlock
import VFS

/// Where nothing may stand any more.
struct Evacuation {
    /// For nodes.
    var nodes: Range<UInt64>
    /// For data.
    var data: Range<UInt64>
}

extension EncFS {
    /// Blocks of data that one operation moves.
    private static let moveBlocks: UInt64 = 256

    /// Moves every node and every extent out of the given ranges: operations among all others, each whole in a commit
    /// or not at all. ``Space/bounds`` keep new ones out, and ``layoutLock`` keeps extents from changing place in the
    /// order that this goes by.
    /// - Parameter moved: called with the blocks of each move.
    func evacuate(_ ranges: Evacuation, moved: (UInt64) -> Void) throws(VFSError) {
        // A file that is being deleted meanwhile is left out; the next pass finds it gone.
        var isComplete = false
        while !isComplete {
            isComplete = true
            var position: ItemKey? = .lowest
            while let here = position {
                let (next, extents) = try moveNodes(from: here, ranges.nodes, ranges.data, moved)
                for (number, extent) in extents {
                    let didMove = try moveExtent(number, extent.fileBlock..<extent.fileEnd, ranges.data, moved)
                    if !didMove { isComplete = false }
                }
                position = next
            }
        }
    }

    /// Moves the nodes on the way to the leaf that covers `key`.
    /// - Returns: where the next leaf begins, and this one's extents that have to move.
    private func moveNodes(
        from key: ItemKey, _ nodes: Range<UInt64>, _ data: Range<UInt64>, _ moved: (UInt64) -> Void
    ) throws(VFSError) -> (next: ItemKey?, extents: [(UInt64, Extent)]) {
        while true {
            let count = try change { tree throws(TreeError) -> UInt64 in
                let (cursor, _) = try tree.descend(to: key)
                for (depth, step) in cursor.path.enumerated() {
                    let place = step.node.address..<step.node.address + tree.space.nodeBlocks
                    guard place.overlaps(nodes) else { continue }
                    try tree.relocate(step.node, below: depth > 0 ? cursor.path[depth - 1] : nil)
                    return tree.space.nodeBlocks
                }
                return 0
            }
            if count == 0 { break }
            moved(count)
        }
        return try store.look { tree throws(TreeError) in
            let (cursor, _) = try tree.descend(to: key)
            let leaf = cursor.leaf
            var found: [(UInt64, Extent)] = []
            for index in 0..<leaf.count where leaf.key(index).kind == ItemKind.extent.rawValue {
                let extent = try tree.extent(TreeCursor(path: [(leaf, index)]))
                if (extent.first..<extent.first + extent.count).overlaps(data) {
                    found.append((leaf.key(index).inode, extent))
                }
            }
            guard leaf.count > 0 else { return (nil, found) }
            let last = TreeCursor(path: cursor.path.dropLast() + [(leaf, leaf.count - 1)])
            return (try tree.next(last)?.key, found)
        }
    }

    /// - Returns: `false` for a file that is being deleted.
    private func moveExtent(
        _ number: UInt64, _ range: Range<UInt64>, _ data: Range<UInt64>, _ moved: (UInt64) -> Void
    ) throws(VFSError) -> Bool {
        let inode: LiveInode
        do throws(VFSError) { inode = try table.use(NodeID(rawValue: number)) } catch { return false }
        defer { finish(inode) }
        var attempts = 0
        while true {
            do throws(VFSError) {
                let count = try exclusively(inode) { () throws(VFSError) in try movePiece(number, range, data) }
                guard let count else {
                    attempts += 1
                    guard attempts <= 3 else { throw VFSError(.noSpace) }
                    try committer.order().wait()
                    continue
                }
                if count == 0 { return true }
                attempts = 0
                moved(count)
            } catch {
                guard error.errno == .noSpace, store.hasPendingSpace else { throw error }
                _ = try committer.order()
            }
        }
    }

    /// Moves the first blocks of a file's range that stand in `data`, with the inode to itself.
    /// - Returns: how many; `nil` when the device wants a commit first.
    private func movePiece(
        _ number: UInt64, _ range: Range<UInt64>, _ data: Range<UInt64>
    ) throws(VFSError) -> UInt64? {
        let plan = try store.change { tree throws(TreeError) -> (source: Extent, target: Range<UInt64>)? in
            for extent in try tree.extents(number, in: range) {
                let here = (extent.first..<extent.first + extent.count).clamped(to: data)
                guard !here.isEmpty else { continue }
                let wanted = min(UInt64(here.count), Self.moveBlocks)
                let run = try tree.space.takeData(wanted: wanted, goal: nil)
                let piece = Extent(
                    fileBlock: extent.fileBlock + (here.lowerBound - extent.first), first: here.lowerBound,
                    count: UInt64(run.count))
                return (piece, run)
            }
            return nil
        }
        guard let (source, target) = plan else { return 0 }
        committer.noteChange(data: target.count * blockBytes)
        do throws(VFSError) {
            guard try copyBlocks(source, to: target.lowerBound, number) else {
                try abandon(target)
                return nil
            }
            try store.change { tree throws(TreeError) in
                _ = try tree.freeBlocks(number, in: source.fileBlock..<source.fileEnd, limit: .max)
                try tree.add(
                    number, Extent(fileBlock: source.fileBlock, first: target.lowerBound, count: source.count))
            }
        } catch {
            try abandon(target)
            throw error
        }
        return source.count
    }

    /// Gives back blocks that no file got.
    private func abandon(_ blocks: Range<UInt64>) throws(VFSError) {
        guard latch.cause == nil else { return }
        try store.change(mayUseReserve: true) { tree throws(TreeError) in
            try tree.space.free(blocks.lowerBound, count: UInt64(blocks.count))
        }
    }

    /// Copies blocks on the device; zeros are not written, since a free place reads so already.
    /// - Returns: `false` when the device wants a commit first.
    private func copyBlocks(_ source: Extent, to target: UInt64, _ number: UInt64) throws(VFSError) -> Bool {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Int(source.count) * blockBytes, alignment: blockBytes)
        defer { buffer.deallocate() }
        try readDevice(source.first, into: buffer, number, fileBlock: source.fileBlock)
        var start = 0
        while start < Int(source.count) {
            var end = start
            while end < Int(source.count), !Self.isZero(buffer, block: end) { end += 1 }
            if end > start {
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[start * blockBytes..<end * blockBytes])
                do throws(DeviceError) { try device.write(LogicalBlock(target + UInt64(start)), bytes) } catch {
                    switch error {
                    case .commitRequired: return false
                    case .noSpace: throw VFSError(.noSpace)
                    default:
                        latch.set("data: \(error.text)")
                        throw VFSError(.ioError, fault: error.text)
                    }
                }
            }
            start = end + 1
        }
        return true
    }

    private static func isZero(_ buffer: UnsafeMutableRawBufferPointer, block: Int) -> Bool {
        let words = UnsafeRawBufferPointer(rebasing: buffer[block * blockBytes..<(block + 1) * blockBytes])
        return !words.bindMemory(to: UInt64.self).contains { $0 != 0 }
    }
}
