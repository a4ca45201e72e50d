extension ImageDevice {
    /// Blocks of one host read: long enough for a disk to stream, short enough to verify one while others come.
    private static let partBlocks = 32

    public func read(_ first: LogicalBlock, into buffer: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        guard buffer.count % blockBytes == 0 else { throw .misaligned(byteCount: buffer.count) }
        let count = UInt64(buffer.count / blockBytes)
        guard first.rawValue <= layout.blockCount, count <= layout.blockCount - first.rawValue else {
            throw .outOfRange(first, count: count)
        }
        guard count > 0 else { return }
        // Direct I/O takes aligned memory only.
        let isAligned = UInt(bitPattern: buffer.baseAddress) % UInt(blockBytes) == 0
        let aligned = isAligned ? nil : AlignedBuffer(byteCount: buffer.count)
        do throws(DeviceError) {
            try readVerified(first.rawValue..<first.rawValue + count, into: aligned?.bytes ?? buffer)
        } catch {
            buffer.initializeMemory(as: UInt8.self, repeating: 0)
            throw error
        }
        if let aligned { buffer.copyMemory(from: UnsafeRawBufferPointer(aligned.bytes)) }
    }

    private func readVerified(_ blocks: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer)
        throws(DeviceError)
    {
        let hasher = try makeHasher(blocks.lowerBound)
        let firstPage = blocks.lowerBound / ImageLayout.fanOut
        var pages: [AlignedBuffer] = []
        for number in firstPage...(blocks.upperBound - 1) / ImageLayout.fanOut {
            let block = max(blocks.lowerBound, number * ImageLayout.fanOut)
            pages.append(try page(level: 1, number, for: LogicalBlock(block), hasher))
        }
        let starts = Array(stride(from: blocks.lowerBound, to: blocks.upperBound, by: Self.partBlocks))
        let parts = starts.map { start in
            let end = min(start + UInt64(Self.partBlocks), blocks.upperBound)
            let offset = Int(start - blocks.lowerBound) * blockBytes
            return HostRead(
                offset: layout.offset(start),
                buffer: UnsafeMutableRawBufferPointer(
                    rebasing: buffer[offset..<offset + Int(end - start) * blockBytes]))
        }
        var failure: (block: UInt64, error: DeviceError)?
        func arrived(_ part: Int) {
            let bytes = UnsafeRawBufferPointer(parts[part].buffer)
            for index in 0..<bytes.count / blockBytes {
                let block = starts[part] + UInt64(index)
                if let failure, failure.block <= block { return }
                let page = pages[Int(block / ImageLayout.fanOut - firstPage)]
                let stored = UnsafeRawBufferPointer(
                    rebasing: bytes[index * blockBytes..<(index + 1) * blockBytes])
                do throws(DeviceError) {
                    try verify(.block(block), stored, page.hash(block), for: LogicalBlock(block), hasher)
                } catch { failure = (block, error) }
            }
        }
        do throws(HostError) {
            try fetch(parts) { arrived($0) }
        } catch {
            throw .unreadable(LogicalBlock(blocks.lowerBound), .host(error))
        }
        if let failure { throw failure.error }
    }

    /// Fills the parts; a small read that goes on where others ended takes a window of the blocks behind it along.
    private func fetch(_ parts: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
        guard parts.count == 1, let part = parts.first,
            part.buffer.count <= ReadAhead.smallBlocks * blockBytes
        else { return try host.read(parts, each: isFull) }
        let first = PhysicalBlock(part.offset / UInt64(blockBytes))
        var isHere = readAhead.copy(first, Self.generation, into: part.buffer)
        if !isHere, readWindow(from: first, count: part.buffer.count / blockBytes) {
            isHere = readAhead.copy(first, Self.generation, into: part.buffer)
        }
        if !isHere { try host.read(at: part.offset, into: part.buffer) }
        isFull(0)
    }

    /// An image is written once.
    private static let generation = Generation(1)

    /// - Returns: whether there is a new window; one that the host does not give is no failure of this read.
    private func readWindow(from first: PhysicalBlock, count: Int) -> Bool {
        let end = layout.offset(layout.blockCount) / UInt64(blockBytes)
        let window = Int(min(UInt64(ReadAhead.windowBlocks), end - first.rawValue))
        guard readAhead.follow(first, count: count, window: window) else { return false }
        let buffer = readAhead.takeBuffer()
        do throws(HostError) {
            try host.read(at: first.rawValue * UInt64(blockBytes), into: buffer.slice(0, window * blockBytes))
        } catch {
            readAhead.giveBack(buffer)
            return false
        }
        readAhead.insert(first, count: window, Self.generation, buffer)
        return true
    }

    /// - Parameter block: for whose sake.
    func makeHasher(_ block: UInt64) throws(DeviceError) -> TreeHasher {
        do { return try TreeHasher() } catch {
            throw .unreadable(LogicalBlock(block), .crypto("\(error)"))
        }
    }

    /// A page of hashes that verifies, from memory or from the host; with it, if need be, those above it.
    func page(level: Int, _ number: UInt64, for block: LogicalBlock, _ hasher: TreeHasher) throws(DeviceError)
        -> AlignedBuffer
    {
        if let known = cache[HashPageCache.Key(level: level, page: number)] { return known }
        let expected: TreeHash
        if level == layout.topLevel {
            expected = top
        } else {
            expected = try page(level: level + 1, number / ImageLayout.fanOut, for: block, hasher).hash(number)
        }
        let page = AlignedBuffer(byteCount: blockBytes)
        do throws(HostError) {
            try host.read(at: layout.offset(level: level, page: number), into: page.bytes)
        } catch { throw .unreadable(block, .host(error)) }
        try verify(.page(level, number), UnsafeRawBufferPointer(page.bytes), expected, for: block, hasher)
        cache.insert(page, HashPageCache.Key(level: level, page: number))
        return page
    }

    private func verify(
        _ place: TreePlace, _ bytes: UnsafeRawBufferPointer, _ expected: TreeHash, for block: LogicalBlock,
        _ hasher: TreeHasher
    ) throws(DeviceError) {
        let found: TreeHash
        // What the crypto library cannot hash is not verified, whatever it is.
        do { found = try hasher.hash(place, bytes) } catch { throw .unreadable(block, .crypto("\(error)")) }
        if place.level > 0, Sabotage.isOn(.imagePageUnchecked) { return }
        guard found == expected else {
            throw .unreadable(block, .hashMismatch(level: Int(place.level), number: place.number))
        }
    }
}

extension AlignedBuffer {
    /// In a page of hashes, the one of a child by its number on its level.
    fileprivate func hash(_ child: UInt64) -> TreeHash {
        TreeHash(
            loading: UnsafeRawBufferPointer(
                slice(Int(child % ImageLayout.fanOut) * TreeHash.byteCount, TreeHash.byteCount)))
    }
}
