/// Finds and verifies record headers wherever they stand, without map, segment table, chain or root.
///
/// A header names its epoch in clear, so that its key follows from the volume key, and its place and generation are in
/// its nonce: what verifies was sealed for exactly this place, by somebody who held the key. What it cannot say is
/// whether it still counts; that is for ``Lineage``.
///
/// **Memory**: one bit for each block of the store, a window of 1 MiB, and a key for each epoch that has a header.
final class RecordScan {
    let host: any BlockHost
    let geometry: Geometry
    private let keys: VolumeKeys
    private let suite: CipherSuite
    private var epochKeys: [Tag: SealingKey] = [:]
    private let scratch = AlignedBuffer(byteCount: blockBytes)
    private let plain = AlignedBuffer(byteCount: blockBytes)
    /// Where verified headers are, in blocks from the first segment.
    private(set) var headers: SparseBitmap
    /// Blocks that the host would not give.
    private(set) var unreadableBlocks: UInt64 = 0

    private static let batchCount = 64

    init(_ source: SalvageSource) {
        host = source.host
        geometry = source.geometry
        keys = source.keys
        suite = source.suite
        headers = SparseBitmap()
    }

    private var blockCount: UInt64 { UInt64(geometry.segmentCount) * UInt64(geometry.segmentBlocks) }
    private func offset(_ index: UInt64) -> UInt64 {
        (geometry.firstSegmentBlock + index) * UInt64(blockBytes)
    }

    func position(_ index: UInt64) -> LogPosition {
        LogPosition(
            segment: UInt32(index / UInt64(geometry.segmentBlocks)),
            block: UInt32(index % UInt64(geometry.segmentBlocks)))
    }

    /// Looks at every block of the store once. A record's data blocks are looked at too: an older header may stand where
    /// the host put it back.
    func run(
        _ progress: (_ done: UInt64, _ total: UInt64) -> Void, _ body: (RecordHeader) throws(VolumeError) -> Void
    ) throws(VolumeError) {
        let windowBlocks: UInt64 = 256
        let window = AlignedBuffer(byteCount: Int(windowBlocks) * blockBytes)
        var start: UInt64 = 0
        while start < blockCount {
            let count = min(windowBlocks, blockCount - start)
            let isWhole = read(at: offset(start), window.slice(0, Int(count) * blockBytes))
            for index in 0..<count {
                let block = window.slice(Int(index) * blockBytes, blockBytes)
                // Where a large read failed, each block has its own chance.
                guard isWhole || read(at: offset(start + index), block) else {
                    unreadableBlocks += 1
                    continue
                }
                let position = position(start + index)
                guard let header = try open(UnsafeRawBufferPointer(block), at: position) else { continue }
                headers.insert(start + index)
                try body(header)
            }
            start += count
            progress(start, blockCount)
        }
    }

    /// Reads the headers in `set` again, by place.
    func forEachHeader(in set: SparseBitmap, _ body: (RecordHeader) throws(VolumeError) -> Void)
        throws(VolumeError)
    {
        let buffer = AlignedBuffer(byteCount: Self.batchCount * blockBytes)
        var batch: [UInt64] = []
        try set.forEach { index throws(VolumeError) in
            batch.append(index)
            if batch.count == Self.batchCount {
                try visit(batch, buffer, body)
                batch.removeAll(keepingCapacity: true)
            }
        }
        try visit(batch, buffer, body)
    }

    private func visit(
        _ batch: [UInt64], _ buffer: AlignedBuffer, _ body: (RecordHeader) throws(VolumeError) -> Void
    ) throws(VolumeError) {
        guard !batch.isEmpty else { return }
        let reads = batch.enumerated().map {
            HostRead(offset: offset($1), buffer: buffer.slice($0 * blockBytes, blockBytes))
        }
        var isWhole = true
        do throws(HostError) { try host.read(reads) } catch { isWhole = false }
        for (number, index) in batch.enumerated() {
            let block = buffer.slice(number * blockBytes, blockBytes)
            guard isWhole || read(at: offset(index), block),
                let header = try open(UnsafeRawBufferPointer(block), at: position(index))
            else { continue }
            try body(header)
        }
    }

    private func read(at offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) -> Bool {
        do throws(HostError) {
            try host.read(at: offset, into: buffer)
            return true
        } catch { return false }
    }

    // MARK: single blocks

    /// The verified header in `block`, which was read from `position`.
    func open(_ block: UnsafeRawBufferPointer, at position: LogPosition) throws(VolumeError) -> RecordHeader? {
        guard let clear = ClearRecordHeader(block), clear.position == position,
            Int(position.block) + 1 + clear.dataBlocks <= geometry.segmentBlocks
        else { return nil }
        do throws(SealError) {
            let known = epochKeys[clear.epoch]
            let possible: [SealingKey]
            if let known { possible = [known] } else { possible = try keys.possibleKeys(clear.epoch, suite) }
            for key in possible {
                guard
                    let header = try RecordHeader.open(
                        block, clear, at: geometry.physical(position), key, scratch: scratch.bytes)
                else { continue }
                // Only epochs that are real are remembered: anybody can write names into clear bytes.
                if known == nil { epochKeys[clear.epoch] = key }
                return header
            }
            return nil
        } catch { throw .crypto("\(error)") }
    }

    /// Reads and verifies the header at `position`.
    func header(at position: LogPosition) throws(VolumeError) -> RecordHeader? {
        let block = AlignedBuffer(byteCount: blockBytes)
        guard read(at: geometry.physical(position).rawValue * UInt64(blockBytes), block.bytes) else { return nil }
        return try open(UnsafeRawBufferPointer(block.bytes), at: position)
    }

    /// Opens the block in a record's slot; what is returned is valid until the next call.
    func block(_ slot: Int, of header: RecordHeader) throws(VolumeError) -> UnsafeRawBufferPointer? {
        guard slot < header.dataBlocks else { return nil }
        let place = LogPosition(
            segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))
        return try block(
            at: geometry.physical(place), header.generation, epoch: header.epoch, header.entries[slot].association,
            header.entries[slot].tag)
    }

    /// Opens a block by all that binds it; what is returned is valid until the next call.
    func block(
        at physical: PhysicalBlock, _ generation: Generation, epoch: Tag, _ association: BlockAssociation,
        _ tag: Tag
    ) throws(VolumeError) -> UnsafeRawBufferPointer? {
        guard let key = epochKeys[epoch], geometry.position(physical) != nil, let output = plain.bytes.baseAddress,
            read(at: physical.rawValue * UInt64(blockBytes), plain.bytes)
        else { return nil }
        do throws(SealError) {
            let isAuthentic = try key.open(
                UnsafeRawBufferPointer(plain.bytes), into: output, at: physical, generation, as: association,
                tag: tag)
            return isAuthentic ? UnsafeRawBufferPointer(plain.bytes) : nil
        } catch { throw .crypto("\(error)") }
    }
}
