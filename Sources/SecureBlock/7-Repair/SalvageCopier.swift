/// Copies the rebuilt map, leaf for leaf: reads each block where it must be, verifies it, and writes it or marks it lost.
final class SalvageCopier {
    private let scan: RecordScan
    private let lineage: Lineage
    private let geometry: Geometry
    private let lastMissing: SequenceNumber
    /// Leaves that are lost unless they are copied.
    private let doubtful: [Range<Int>]
    private let expectedGeneration: (UInt32) -> Generation

    /// Blocks of one record that are copied at once.
    private static let runBlocks = 128
    private let buffer = AlignedBuffer(byteCount: runBlocks * blockBytes)
    /// Neighbouring blocks in `buffer`, not written yet.
    private var copied: (first: UInt64, count: Int) = (0, 0)
    /// Neighbouring blocks that are lost, not marked yet.
    private var lost: (first: UInt64, count: UInt64) = (0, 0)
    /// The record that the last block was in.
    private var record: (position: LogPosition, header: RecordHeader?)?
    /// All leaves before it are done, and all of ``doubtful`` before `nextDoubtful`.
    private var nextLeaf = 0
    private var nextDoubtful = 0

    init(
        _ scan: RecordScan, _ lineage: Lineage, _ geometry: Geometry, _ lastMissing: SequenceNumber,
        _ doubtful: RangeSet<Int>, _ expectedGeneration: @escaping (UInt32) -> Generation
    ) {
        self.scan = scan
        self.lineage = lineage
        self.geometry = geometry
        self.lastMissing = lastMissing
        self.doubtful = Array(doubtful.ranges)
        self.expectedGeneration = expectedGeneration
    }

    /// Copies the leaves of `range`, all behind those copied before.
    func run(
        _ range: SalvageRange, to target: SalvageTarget, _ report: inout SalvageReport, progress: (UInt64) -> Void
    ) throws(VolumeError) {
        for (place, leaf) in range.leaves.enumerated() {
            try skip(to: leaf, target, &report)
            let first = UInt64(leaf) * UInt64(MapEntry.perPage)
            progress(first)
            guard first < geometry.logicalBlocks else { return }
            for offset in 0..<Int(min(UInt64(MapEntry.perPage), geometry.logicalBlocks - first)) {
                try copy(
                    LogicalBlock(first + UInt64(offset)), range.state(place, offset), target, &report)
            }
            nextLeaf = leaf + 1
        }
    }

    /// Ends with the leaves behind all that were copied. Everything is written; nothing is durable.
    func finish(to target: SalvageTarget, leafCount: Int, _ report: inout SalvageReport) throws(VolumeError) {
        try skip(to: leafCount, target, &report)
        try flush(target)
        try flushLost(target)
    }

    private func skip(to leaf: Int, _ target: SalvageTarget, _ report: inout SalvageReport) throws(VolumeError) {
        guard nextLeaf < leaf else { return }
        let perPage = UInt64(MapEntry.perPage)
        while nextDoubtful < doubtful.count, doubtful[nextDoubtful].lowerBound < leaf {
            let leaves = doubtful[nextDoubtful].clamped(to: nextLeaf..<leaf)
            let first = UInt64(leaves.lowerBound) * perPage
            let end = min(UInt64(leaves.upperBound) * perPage, geometry.logicalBlocks)
            if first < end { try lose(LogicalBlock(first), count: end - first, .unknown, target, &report) }
            guard doubtful[nextDoubtful].upperBound <= leaf else { break }
            nextDoubtful += 1
        }
        nextLeaf = leaf
    }

    private func copy(
        _ block: LogicalBlock, _ state: SalvageRange.State, _ target: SalvageTarget, _ report: inout SalvageReport
    ) throws(VolumeError) {
        // What came after the newest thing known may have changed the block, when records are missing there.
        let isProven = max(state.base, state.sequence) >= lastMissing
        guard state.entry.isMapped else {
            if state.entry.isLost || !isProven { try lose(block, .unknown, target, &report) }
            return
        }
        guard let position = geometry.position(state.entry.block), Int(position.block) > state.entry.slot else {
            return try lose(block, .header, target, &report)
        }
        let place = LogPosition(segment: position.segment, block: position.block - 1 - UInt32(state.entry.slot))
        if record?.position != place { record = (place, try scan.header(at: place)) }
        guard let header = record?.header, isRight(header, block, state) else {
            return try lose(block, .header, target, &report)
        }
        guard let bytes = try scan.block(state.entry.slot, of: header) else {
            return try lose(block, .data, target, &report)
        }
        if copied.count == Self.runBlocks || copied.first + UInt64(copied.count) != block.rawValue {
            try flush(target)
        }
        if copied.count == 0 { copied.first = block.rawValue }
        buffer.slice(copied.count * blockBytes, blockBytes).copyMemory(from: bytes)
        copied.count += 1
        report.recoveredBlocks += 1
        if !isProven, !state.isNewestBase { report.addDoubtful(block, count: 1) }
    }

    /// Whether the header found is the one that the map or the record meant.
    private func isRight(_ record: RecordHeader, _ block: LogicalBlock, _ state: SalvageRange.State) -> Bool {
        guard state.entry.slot < record.dataBlocks, record.entries[state.entry.slot].address == block.rawValue,
            [.data, .relocation].contains(record.entries[state.entry.slot].kind),
            lineage.counts(record.epoch, record.sequence)
        else { return false }
        // From a record: that one. From the base: any that was there by then, in no older use of the segment.
        if state.sequence > state.base { return record.sequence == state.sequence }
        return record.sequence <= state.base && record.generation >= expectedGeneration(record.position.segment)
    }

    private func flush(_ target: SalvageTarget) throws(VolumeError) {
        guard copied.count > 0 else { return }
        try target.write(
            LogicalBlock(copied.first), UnsafeRawBufferPointer(buffer.slice(0, copied.count * blockBytes)))
        copied.count = 0
    }

    private func lose(
        _ block: LogicalBlock, count: UInt64 = 1, _ reason: SalvageReport.Reason, _ target: SalvageTarget,
        _ report: inout SalvageReport
    ) throws(VolumeError) {
        report.addLost(block, count: count, reason)
        if lost.first + lost.count != block.rawValue { try flushLost(target) }
        if lost.count == 0 { lost.first = block.rawValue }
        lost.count += count
    }

    private func flushLost(_ target: SalvageTarget) throws(VolumeError) {
        guard lost.count > 0 else { return }
        try target.markLost(LogicalBlock(lost.first), count: lost.count)
        lost.count = 0
    }
}
