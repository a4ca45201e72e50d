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
            try host.read(parts) { arrived($0) }
        } catch {
            throw .unreadable(LogicalBlock(blocks.lowerBound), .host(error))
        }
        if let failure { throw failure.error }
    }

    /// - Parameter block: for whose sake.
    func makeHasher(_ block: UInt64) throws(DeviceError) -> TreeHasher {
        do { return try TreeHasher() } catch {
            throw .unreadable(LogicalBlock(block), .hashMismatch(level: 0, number: block))
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
        let mismatch = DeviceError.unreadable(block, .hashMismatch(level: Int(place.level), number: place.number))
        let found: TreeHash
        // What the crypto library cannot hash is not verified, whatever it is.
        do { found = try hasher.hash(place, bytes) } catch { throw mismatch }
        guard found == expected else { throw mismatch }
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
