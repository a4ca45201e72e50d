import SecureBlock
import VFS

extension EncFS {
    static let blockSize = UInt64(blockBytes)

    /// The blocks that hold these bytes.
    static func blocks(_ bytes: Range<UInt64>) -> Range<UInt64> {
        bytes.lowerBound / blockSize..<(bytes.upperBound + blockSize - 1) / blockSize
    }

    /// Where bytes of a file are.
    private struct Content {
        var count = 0
        var runs: [DeviceRun] = []
        /// What the tree has of them, by offset in the file.
        var inline: InlineData?
    }

    public func read(
        _ node: NodeID, _ handle: Handle, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(VFSError) -> Int {
        let inode = try table.use(node)
        defer { finish(inode) }
        let count = try readLocked(inode, at: offset, into: buffer)
        if !handle.leavesAccessTime { noteAccess(node) }
        return count
    }

    private func readLocked(
        _ inode: LiveInode, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(VFSError) -> Int {
        try lockUnshifted(inode)
        defer { inode.lock.unlock() }
        guard !inode.hasLostBytes else {
            throw VFSError(
                .ioError, fault: "inode \(inode.number): the device failed over bytes that were written to it")
        }
        let content = try store.look { tree throws(TreeError) -> Content in
            let record = try tree.inode(inode.number, table)
            switch record.kind {
            case .regular: break
            case .directory: throw .refused(.isDirectory)
            default: throw .refused(.invalidArgument)
            }
            guard offset < record.size, !buffer.isEmpty else { return Content() }
            let count = Int(min(UInt64(buffer.count), record.size - offset))
            let inline = try tree.inlineData(inode.number, record)
            let blocks = Self.blocks(offset..<offset + UInt64(count))
            let extents = inline?.offset == 0 ? [] : try tree.extents(inode.number, in: blocks)
            return Content(count: count, runs: DeviceRun.cover(blocks, with: extents), inline: inline)
        }
        let count = content.count
        for run in content.runs { try read(run, of: inode.number, at: offset, count, into: buffer) }
        if let inline = content.inline {
            let part = inline.range.clamped(to: offset..<offset + UInt64(count))
            if !part.isEmpty {
                UnsafeMutableRawBufferPointer(rebasing: buffer[Int(part.lowerBound - offset)...])
                    .copyBytes(from: inline.bytes(part))
            }
        }
        return count
    }

    /// Takes an inode's lock shared, with every extent in its place.
    func lockUnshifted(_ inode: LiveInode) throws(VFSError) {
        if unfinishedShifts.contains(inode.number) {
            throw VFSError(
                .ioError,
                fault:
                    "inode \(inode.number): a range was being moved when the volume was cut off; mount for writing")
        }
        while true {
            inode.lock.lockShared()
            guard inode.isShifting else { return }
            inode.lock.unlock()
            try exclusively(inode) { () throws(VFSError) in }
        }
    }

    /// Reads one run's part of `[offset, offset + count)`: whole blocks straight into the caller's buffer, the rest
    /// through one block of our own.
    private func read(
        _ run: DeviceRun, of number: UInt64, at offset: UInt64, _ count: Int,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(VFSError) {
        let end = offset + UInt64(count)
        let low = max(offset, run.fileBlock * Self.blockSize)
        let high = min(end, run.fileEnd * Self.blockSize)
        guard low < high else { return }
        guard let first = run.first else {
            UnsafeMutableRawBufferPointer(rebasing: buffer[Int(low - offset)..<Int(high - offset)]).zero()
            return
        }
        var position = low
        while position < high {
            let block = position / Self.blockSize
            let skip = Int(position % Self.blockSize)
            let place = Int(position - offset)
            let device = first + (block - run.fileBlock)
            // A last block may be read whole where the buffer has room behind the end of file.
            var whole = (high - position) / Self.blockSize
            if (high - position) % Self.blockSize != 0,
                place + Int(whole + 1) * blockBytes <= buffer.count, high == end
            {
                whole += 1
            }
            if skip == 0, whole > 0 {
                let bytes = Int(whole) * blockBytes
                let target = UnsafeMutableRawBufferPointer(rebasing: buffer[place..<place + bytes])
                try readDevice(device, into: target, number, fileBlock: block)
                position += UInt64(bytes)
            } else {
                let part = min(blockBytes - skip, Int(high - position))
                try withBlock(device, number, fileBlock: block) { bytes in
                    UnsafeMutableRawBufferPointer(rebasing: buffer[place..<place + part])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[skip..<skip + part]))
                }
                position += UInt64(part)
            }
        }
    }

    func withBlock(
        _ block: UInt64, _ number: UInt64, fileBlock: UInt64, _ body: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(VFSError) {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: blockBytes)
        defer { bytes.deallocate() }
        try readDevice(block, into: bytes, number, fileBlock: fileBlock)
        body(bytes)
    }

    /// Reads data blocks; a failure names the file.
    func readDevice(
        _ first: UInt64, into buffer: UnsafeMutableRawBufferPointer, _ number: UInt64, fileBlock: UInt64
    ) throws(VFSError) {
        do throws(DeviceError) {
            try device.read(LogicalBlock(first), into: buffer)
        } catch {
            guard case .unreadable(let block, let reason) = error else {
                throw VFSError(.ioError, fault: error.text)
            }
            let name = path(of: NodeID(rawValue: number)) ?? "inode \(number)"
            let bad = block.rawValue >= first ? fileBlock + (block.rawValue - first) : fileBlock
            let start = bad * Self.blockSize
            let text = "\(name): bytes \(start)..<\(start + Self.blockSize): \(block): \(reason.text)"
            options.reportFault(text)
            throw VFSError(.ioError, fault: text)
        }
    }

    /// Follows a read with the access time as `relatime` does: when it is not behind the other times, or a day old.
    func noteAccess(_ node: NodeID) {
        guard !isReadOnly, !options.noAccessTime, latch.cause == nil else { return }
        let now = options.clock()
        do throws(VFSError) {
            let inode = try store.look { tree throws(TreeError) in try tree.inode(node.rawValue, table) }
            let isDue = inode.accessTime.wantsUpdate(
                at: now, modified: inode.modificationTime, changed: inode.changeTime)
            if isDue { table.noteTimes(node.rawValue) { $0.access = now } }
        } catch {
            // The read succeeded; a time that cannot be found changes nothing about it.
            return
        }
    }

    /// Where a file's data is, for inspection: nothing for holes and inline data.
    public func dataBlocks(
        of node: NodeID
    ) throws(VFSError) -> [(fileOffset: UInt64, first: LogicalBlock, count: UInt64)] {
        let extents = try store.look { tree throws(TreeError) in
            _ = try tree.inode(node.rawValue, table)
            return try tree.extents(node.rawValue, in: 0..<Inode.maximumBytes / Self.blockSize + 1)
        }
        return extents.map { ($0.fileBlock * Self.blockSize, LogicalBlock($0.first), $0.count) }
    }
}

extension UnsafeMutableRawBufferPointer {
    func zero() { initializeMemory(as: UInt8.self, repeating: 0) }
}
