import SecureBlock
public import VFS

/// Reads, writes and discards, in bytes.
extension BlockFS {
    private static let block = UInt64(blockBytes)
    /// Blocks that one discard forgets at a time: the device works one off under its lock.
    private static let discardBlocks: UInt64 = 16 << 10
    /// How often a write that needs a commit is tried again behind one.
    private static let attempts = 8

    public func read(
        _ node: NodeID, _ handle: Handle, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(VFSError) -> Int {
        try requireDisk(node)
        let byteCount = byteCount
        guard offset < byteCount, !buffer.isEmpty else { return 0 }
        let count = Int(min(UInt64(buffer.count), byteCount - offset))
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        do throws(DeviceError) {
            if offset % Self.block == 0, count % blockBytes == 0 {
                try device.read(LogicalBlock(offset / Self.block), into: part)
            } else {
                let blocks = Self.blocks(offset..<offset + UInt64(count))
                let whole = AlignedBuffer(byteCount: blocks.count * blockBytes)
                try device.read(LogicalBlock(blocks.lowerBound), into: whole.bytes)
                part.copyMemory(
                    from: UnsafeRawBufferPointer(whole.slice(Int(offset % Self.block), count)))
            }
        } catch { throw failure(error) }
        return count
    }

    public func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags
    ) throws(VFSError) -> Written {
        try requireDisk(node)
        // Writing never moves the end, so that what is to go behind it has no room.
        let byteCount = byteCount
        guard case .offset(let offset) = position, offset < byteCount else { throw VFSError(.noSpace) }
        guard !bytes.isEmpty else { return Written(count: 0, end: offset) }
        let count = Int(min(UInt64(bytes.count), byteCount - offset))
        let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        try changing(offset..<offset + UInt64(count)) { () throws(DeviceError) in
            try store(part, at: offset)
        }
        return Written(count: count, end: offset + UInt64(count))
    }

    /// Punching and zeroing are one: the device forgets the blocks, which then read as zeros. The size stays in every
    /// mode; space is promised by the device, so that there is none to allocate.
    public func allocate(
        _ node: NodeID, _ handle: Handle, _ range: Range<UInt64>, _ mode: AllocationMode
    ) throws(VFSError) {
        try requireDisk(node)
        let byteCount = byteCount
        switch mode {
        case .punchHole, .zeroKeepingSize: break
        case .zero where range.upperBound <= byteCount: break
        case .zero: throw VFSError(.noSpace)
        case .allocate, .allocateKeepingSize, .collapse, .insert: throw VFSError(.notSupported)
        }
        let range = range.clamped(to: 0..<byteCount)
        guard !range.isEmpty else { return }
        try changing(range) { () throws(DeviceError) in try forget(range) }
    }

    /// Runs a change of `range` while no other one touches its blocks.
    private func changing(
        _ range: Range<UInt64>, _ body: () throws(DeviceError) -> Void
    ) throws(VFSError) {
        do throws(DeviceError) { try writing.hold(Self.blocks(range), body) } catch { throw failure(error) }
        times.withLock {
            $0.written = .now
            $0.changed = $0.written
        }
        commitIfWanted()
    }

    /// Where the device asks for a commit first, it gets one at once.
    private func committing(_ body: () throws(DeviceError) -> Void) throws(DeviceError) {
        for _ in 1..<Self.attempts {
            do throws(DeviceError) { return try body() } catch {
                guard error == .commitRequired else { throw error }
                try device.commit().wait()
            }
        }
        try body()
    }

    /// As much at a time as the device takes between two commits.
    private func put(_ bytes: UnsafeRawBufferPointer, _ first: UInt64) throws(DeviceError) {
        var done = 0
        var limit = bytes.count
        while done < bytes.count {
            let count = min(limit, bytes.count - done)
            let part = UnsafeRawBufferPointer(rebasing: bytes[done..<done + count])
            let block = LogicalBlock(first + UInt64(done / blockBytes))
            if count == blockBytes {
                try committing { () throws(DeviceError) in try device.write(block, part) }
                done += count
                continue
            }
            do throws(DeviceError) {
                try device.write(block, part)
                done += count
            } catch {
                guard error == .commitRequired else { throw error }
                try device.commit().wait()
                // Some of it may be in place by now, and would be overwritten for nothing each time.
                limit = max(blockBytes, count / 2 / blockBytes * blockBytes)
            }
        }
    }

    /// Whole blocks from where they are, parts of blocks by reading, changing and writing them.
    private func store(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DeviceError) {
        var done = 0
        while done < bytes.count {
            let position = offset + UInt64(done)
            let within = Int(position % Self.block)
            let left = bytes.count - done
            if within == 0, left >= blockBytes {
                let count = left / blockBytes * blockBytes
                try put(UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]), position / Self.block)
                done += count
            } else {
                let count = min(blockBytes - within, left)
                let part = UnsafeRawBufferPointer(rebasing: bytes[done..<done + count])
                try change(LogicalBlock(position / Self.block), from: within, count) {
                    $0.copyMemory(from: part)
                }
                done += count
            }
        }
    }

    private func forget(_ range: Range<UInt64>) throws(DeviceError) {
        let first = (range.lowerBound + Self.block - 1) / Self.block
        let last = range.upperBound / Self.block
        if first > last {
            // Inside one block.
            return try clear(range)
        }
        if range.lowerBound < first * Self.block { try clear(range.lowerBound..<first * Self.block) }
        var block = first
        while block < last {
            let count = min(last - block, Self.discardBlocks)
            try committing { () throws(DeviceError) in try device.discard(LogicalBlock(block), count: count) }
            block += count
        }
        if last * Self.block < range.upperBound { try clear(last * Self.block..<range.upperBound) }
    }

    /// Zeros in a part of one block.
    private func clear(_ range: Range<UInt64>) throws(DeviceError) {
        let within = Int(range.lowerBound % Self.block)
        try change(LogicalBlock(range.lowerBound / Self.block), from: within, Int(range.count)) {
            $0.initializeMemory(as: UInt8.self, repeating: 0)
        }
    }

    private func change(
        _ block: LogicalBlock, from start: Int, _ count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(DeviceError) {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        try device.read(block, into: buffer.bytes)
        body(buffer.slice(start, count))
        try put(UnsafeRawBufferPointer(buffer.bytes), block.rawValue)
    }

    private static func blocks(_ range: Range<UInt64>) -> Range<UInt64> {
        range.lowerBound / block..<(range.upperBound + block - 1) / block
    }
}
