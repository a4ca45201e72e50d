import SecureBlock
import VFS

extension EncFS {
    /// Extents one operation frees.
    static let operationExtents = 32

    /// Runs one operation with the inode to itself, after what an unfinished truncation left of it is gone.
    func exclusively<R>(_ inode: LiveInode, _ body: () throws(VFSError) -> R) throws(VFSError) -> R {
        while true {
            let result = try operate { () throws(VFSError) -> R? in
                inode.lock.lockExclusive()
                defer { inode.lock.unlock() }
                return try finishChain(inode) ? body() : nil
            }
            if let result { return result }
        }
    }

    /// As ``exclusively(_:_:)`` for two inodes, which may be the same.
    func exclusively<R>(
        _ first: LiveInode, _ second: LiveInode, _ body: () throws(VFSError) -> R
    ) throws(VFSError) -> R {
        guard first !== second else { return try exclusively(first, body) }
        let (lower, upper) = first.number < second.number ? (first, second) : (second, first)
        while true {
            let result = try operate { () throws(VFSError) -> R? in
                lower.lock.lockExclusive()
                defer { lower.lock.unlock() }
                upper.lock.lockExclusive()
                defer { upper.lock.unlock() }
                guard try finishChain(lower) else { return nil }
                return try finishChain(upper) ? body() : nil
            }
            if let result { return result }
        }
    }

    /// One step of what an operation in several steps left of an inode, which is ours alone.
    /// - Returns: whether nothing was left.
    private func finishChain(_ inode: LiveInode) throws(VFSError) -> Bool {
        if inode.isShifting {
            if try shiftStep(inode.number) { inode.isShifting = false }
            return false
        }
        guard let from = inode.trimFrom else { return true }
        if try trim(inode.number, from: from) { inode.trimFrom = nil }
        return false
    }

    /// One step of a truncation's chain.
    /// - Returns: whether it was the last.
    func trim(_ number: UInt64, from block: UInt64) throws(VFSError) -> Bool {
        try store.change(mayUseReserve: true) { tree throws(TreeError) in
            guard var record = try tree.inodeIfPresent(number, table) else {
                try tree.remove(ItemKey(ItemKey.filesystem, .trimIntent, number))
                return true
            }
            let (freed, isDone) = try tree.freeBlocks(
                number, in: block..<Self.blocksEnd, limit: Self.operationExtents)
            record.blocks -= min(freed, record.blocks)
            try tree.storeInode(number, record, table)
            if isDone { try tree.remove(ItemKey(ItemKey.filesystem, .trimIntent, number)) }
            return isDone
        }
    }

    static let blocksEnd = Inode.maximumBytes / blockSize + 1

    /// Sets a regular file's size: a chain of operations whose first one sets it.
    func truncate(_ inode: LiveInode, to size: UInt64, clearsPrivileges: Bool) throws(VFSError) {
        guard size <= Inode.maximumBytes else { throw VFSError(.fileTooLarge) }
        var attempts = 0
        while true {
            let outcome = try exclusively(inode) { () throws(VFSError) in
                try truncateOnce(inode, to: size, clearsPrivileges)
            }
            guard case .commitNeeded = outcome else { break }
            attempts += 1
            guard attempts <= 3 else { throw VFSError(.noSpace) }
            let ticket = try committer.order()
            if attempts > 1 { try ticket.wait() }
        }
        // Finish the chain.
        try exclusively(inode) { () throws(VFSError) in }
    }

    private func truncateOnce(
        _ inode: LiveInode, to size: UInt64, _ clearsPrivileges: Bool
    ) throws(VFSError) -> WriteOutcome {
        let number = inode.number
        let (record, tail) = try store.look { tree throws(TreeError) -> (Inode, Tail?) in
            let record = try tree.inode(number, table)
            guard record.kind == .regular else {
                throw .refused(record.kind == .directory ? .isDirectory : .invalidArgument)
            }
            guard size < record.size else { return (record, nil) }
            return (record, try tailBlock(tree, number, size: size))
        }
        var restore: (() -> Void)?
        if let tail, tail.isShared {
            let end = min(record.size, (size / Self.blockSize + 1) * Self.blockSize)
            let zeros = [UInt8](repeating: 0, count: Int(end - size))
            if case .commitNeeded = try write(zeros, to: inode, at: size, .leaving) { return .commitNeeded }
        } else if let block = tail?.block {
            switch try zeroTail(number, size: size, of: block) {
            case .commitNeeded: return .commitNeeded
            case .written(let old): restore = { [self] in rewrite(block, old) }
            case .unchanged: break
            }
        }
        let now = options.clock()
        do throws(VFSError) {
            inode.trimFrom = try store.change(mayUseReserve: true) { tree throws(TreeError) in
                try setSize(tree, number, size, clearsPrivileges, now)
            }
        } catch {
            restore?()
            throw error
        }
        return .written(count: 0, end: size)
    }

    /// - Returns: the block from which on more is to be freed.
    private func setSize(
        _ tree: Tree, _ number: UInt64, _ size: UInt64, _ clearsPrivileges: Bool, _ now: Timestamp
    ) throws(TreeError) -> UInt64? {
        var record = try tree.inode(number, table)
        if let inline = try tree.inlineData(number, record), inline.range.upperBound > size {
            let key = ItemKey(number, .inlineData, inline.offset)
            if size <= inline.offset {
                try tree.remove(key)
                record.flags.remove(.hasInlineData)
            } else {
                try tree.set(key, Array(inline.bytes(inline.offset..<size)))
            }
        }
        var trimFrom: UInt64?
        if size <= record.size {
            let from = (size + Self.blockSize - 1) / Self.blockSize
            let (freed, isDone) = try tree.freeBlocks(
                number, in: from..<Self.blocksEnd, limit: Self.operationExtents)
            record.blocks -= min(freed, record.blocks)
            if !isDone {
                trimFrom = from
                if !FileSabotage.isOn(.dropTrimIntent) {
                    try tree.set(ItemKey(ItemKey.filesystem, .trimIntent, number), StoredNumbers.encode([from]))
                }
            }
        }
        record.size = size
        record.modificationTime = now
        record.changeTime = now
        if clearsPrivileges {
            record.dropPrivileges()
            try dropFileCapabilities(tree, number, &record)
        }
        try tree.storeInode(number, record, table)
        return trimFrom
    }

    // MARK: the block at the end of file

    private enum TailOutcome {
        case unchanged
        case written(old: [UInt8])
        case commitNeeded
    }

    private struct Tail {
        var block: UInt64
        /// Other files have the block too: it must stay as it is.
        var isShared: Bool
    }

    /// The logical block that holds the file's byte `size`, if that is inside an allocated block.
    private func tailBlock(_ tree: Tree, _ number: UInt64, size: UInt64) throws(TreeError) -> Tail? {
        guard size % Self.blockSize != 0, !FileSabotage.isOn(.keepBytesPastEnd) else { return nil }
        let block = size / Self.blockSize
        guard let extent = try tree.lastExtent(number, upTo: block), extent.fileEnd > block else { return nil }
        let part = extent.part(block..<block + 1)
        return Tail(block: part.first, isShared: try tree.isShared(part))
    }

    /// Makes the block at the end of file zero behind it.
    func zeroTail(_ number: UInt64, size: UInt64) throws(VFSError) {
        let tail = try store.look { tree throws(TreeError) in try tailBlock(tree, number, size: size) }
        // A shared block was not written to: it is as it was.
        guard let tail, !tail.isShared else { return }
        if case .commitNeeded = try zeroTail(number, size: size, of: tail.block) {
            throw VFSError(.ioError, fault: "the device needs a commit in the middle of an operation")
        }
    }

    private func zeroTail(_ number: UInt64, size: UInt64, of block: UInt64) throws(VFSError) -> TailOutcome {
        var old: [UInt8] = []
        try withBlock(block, number, fileBlock: size / Self.blockSize) { old = Array($0) }
        let keep = Int(size % Self.blockSize)
        guard old[keep...].contains(where: { $0 != 0 }) else { return .unchanged }
        let new = old[..<keep] + repeatElement(0, count: blockBytes - keep)
        do throws(DeviceError) {
            try writeBlock(block, Array(new))
        } catch {
            switch error {
            case .commitRequired: return .commitNeeded
            case .noSpace: throw VFSError(.noSpace)
            default:
                latch.set("data: \(error.text)")
                throw VFSError(.ioError, fault: error.text)
            }
        }
        return .written(old: old)
    }

    private func rewrite(_ block: UInt64, _ bytes: [UInt8]) {
        do throws(DeviceError) { try writeBlock(block, bytes) } catch { latch.set("data: \(error.text)") }
    }

    func writeBlock(_ block: UInt64, _ bytes: [UInt8]) throws(DeviceError) {
        var writes = StagedWrites(device)
        try writes.add(block, bytes)
        try writes.flush()
    }
}
