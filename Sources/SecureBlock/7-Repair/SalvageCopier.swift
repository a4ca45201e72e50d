/// Copies one range of the rebuilt map: reads each block where it must be, verifies it, and writes it or marks it lost.
struct SalvageCopier {
    private let scan: RecordScan
    private let range: SalvageRange
    private let lineage: Lineage
    private let geometry: Geometry
    private let lastMissing: SequenceNumber
    private let expectedGeneration: (UInt32) -> Generation

    /// Blocks of one record that are copied at once.
    private static let runBlocks = 128

    init(
        _ scan: RecordScan, _ range: SalvageRange, _ lineage: Lineage, _ geometry: Geometry,
        _ lastMissing: SequenceNumber, _ expectedGeneration: @escaping (UInt32) -> Generation
    ) {
        self.scan = scan
        self.range = range
        self.lineage = lineage
        self.geometry = geometry
        self.lastMissing = lastMissing
        self.expectedGeneration = expectedGeneration
    }

    func run(to target: SalvageTarget, _ report: inout SalvageReport, progress: (UInt64) -> Void)
        throws(VolumeError)
    {
        let buffer = AlignedBuffer(byteCount: Self.runBlocks * blockBytes)
        var header: (position: LogPosition, header: RecordHeader?)?
        var pending: (first: Int, count: Int) = (0, 0)
        func flush() throws(VolumeError) {
            guard pending.count > 0 else { return }
            let block = LogicalBlock(range.first + UInt64(pending.first))
            try target.write(block, UnsafeRawBufferPointer(buffer.slice(0, pending.count * blockBytes)))
            pending.count = 0
        }
        for index in 0..<range.count {
            if index % 4096 == 0 { progress(UInt64(index)) }
            let state = range.state(index)
            let block = LogicalBlock(range.first + UInt64(index))
            // What came after the newest thing known may have changed the block, when records are missing there.
            let isProven = max(state.base, state.sequence) >= lastMissing
            guard state.entry.isMapped else {
                if state.entry.isLost || !isProven { try lose(block, .unknown, target, &report) }
                continue
            }
            guard let position = geometry.position(state.entry.block), Int(position.block) > state.entry.slot else {
                try lose(block, .header, target, &report)
                continue
            }
            let place = LogPosition(
                segment: position.segment, block: position.block - 1 - UInt32(state.entry.slot))
            if header?.position != place { header = (place, try scan.header(at: place)) }
            guard let record = header?.header, isRight(record, block, state) else {
                try lose(block, .header, target, &report)
                continue
            }
            guard let bytes = try scan.block(state.entry.slot, of: record) else {
                try lose(block, .data, target, &report)
                continue
            }
            if pending.count == Self.runBlocks || pending.count > 0 && pending.first + pending.count != index {
                try flush()
            }
            if pending.count == 0 { pending.first = index }
            buffer.slice(pending.count * blockBytes, blockBytes).copyMemory(from: bytes)
            pending.count += 1
            report.recoveredBlocks += 1
            if !isProven, !state.isNewestBase { report.addDoubtful(block, count: 1) }
        }
        try flush()
        try flushLost(target)
    }

    /// Whether the header found is the one that the map or the record meant.
    private func isRight(
        _ record: RecordHeader, _ block: LogicalBlock,
        _ state: (entry: MapEntry, sequence: SequenceNumber, base: SequenceNumber, isNewestBase: Bool)
    ) -> Bool {
        guard state.entry.slot < record.dataBlocks, record.entries[state.entry.slot].address == block.rawValue,
            [.data, .relocation].contains(record.entries[state.entry.slot].kind),
            lineage.counts(record.epoch, record.sequence)
        else { return false }
        // From a record: that one. From the base: any that was there by then, in no older use of the segment.
        if state.sequence > state.base { return record.sequence == state.sequence }
        return record.sequence <= state.base && record.generation >= expectedGeneration(record.position.segment)
    }

    private let lostRun = LostRun()

    private func lose(
        _ block: LogicalBlock, _ reason: SalvageReport.Reason, _ target: SalvageTarget,
        _ report: inout SalvageReport
    ) throws(VolumeError) {
        report.addLost(block, count: 1, reason)
        if lostRun.count > 0, lostRun.first + lostRun.count != block.rawValue { try flushLost(target) }
        if lostRun.count == 0 { lostRun.first = block.rawValue }
        lostRun.count += 1
    }

    private func flushLost(_ target: SalvageTarget) throws(VolumeError) {
        guard lostRun.count > 0 else { return }
        try target.markLost(LogicalBlock(lostRun.first), count: lostRun.count)
        lostRun.count = 0
    }

    /// Neighbouring lost blocks, which are marked at once.
    private final class LostRun {
        var first: UInt64 = 0
        var count: UInt64 = 0
    }
}
