/// Applies records to map and segment table exactly as sealing them did (I2).
final class Replayer {
    let map: LogicalMap
    let table: SegmentTable
    private let context: VolumeContext
    private let epochIndex: UInt32
    /// No root before this commit is whole any more: segments that were taken gave up what they held.
    private(set) var historyHorizon: SequenceNumber

    init(
        _ context: VolumeContext, epochIndex: UInt32, map: LogicalMap, table: SegmentTable,
        historyHorizon: SequenceNumber
    ) {
        self.historyHorizon = historyHorizon
        self.context = context
        self.epochIndex = epochIndex
        self.map = map
        self.table = table
    }

    /// - Throws: ``VolumeError/corrupt(_:)`` for a record that contradicts map or table.
    func apply(_ header: RecordHeader) throws(VolumeError) {
        note(SegmentReference(segment: header.position.segment, generation: header.generation), header.stream)
        note(header.next, header.stream)
        for (slot, entry) in header.entries.enumerated() {
            switch entry.kind {
            case .data, .relocation:
                let block = try logicalBlock(entry.address, header)
                let place = LogPosition(
                    segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))
                try load(block)
                let present = map.entry(block)
                if !Sabotage.isOn(.replayKeepsOldPlace) || entry.kind == .data {
                    map.set(block, MapEntry(block: context.geometry.physical(place), slot: slot))
                }
                table.gainLive(header.position.segment)
                try lose(present, header)
            case .discard, .lost:
                let first = try logicalBlock(entry.address, header)
                guard entry.discardCount <= map.logicalBlocks - first.rawValue else {
                    throw .corrupt("record \(header.sequence.rawValue) discards past the device's end")
                }
                for offset in 0..<(Sabotage.isOn(.replayForgetsDiscards) ? 0 : entry.discardCount) {
                    let block = LogicalBlock(first.rawValue + offset)
                    try load(block)
                    try lose(map.entry(block), header)
                    map.set(block, entry.kind == .lost ? .lost : .none)
                }
            case .null, .mapPage, .tablePage, .epochPage, .root, .snapshotPage:
                break
            }
        }
        table[header.position.segment].lastRecord = header.sequence
    }

    /// The horizon, with what records took that count for nothing themselves.
    func horizon(after cut: [RecordHeader]) -> SequenceNumber {
        var horizon = historyHorizon
        for header in cut {
            let own = SegmentReference(segment: header.position.segment, generation: header.generation)
            for reference in [own, header.next] where table[reference.segment].generation != reference.generation {
                horizon = max(horizon, table.historyEnd(reference.segment))
            }
        }
        return horizon
    }

    private func logicalBlock(_ address: UInt64, _ header: RecordHeader) throws(VolumeError) -> LogicalBlock {
        guard address < map.logicalBlocks else {
            throw .corrupt("record \(header.sequence.rawValue) names a block past the device's end")
        }
        return LogicalBlock(address)
    }

    /// A segment was taken into use.
    private func note(_ reference: SegmentReference, _ stream: StreamID) {
        var entry = table[reference.segment]
        guard entry.generation != reference.generation || entry.epochIndex != epochIndex || entry.state != .used
        else { return }
        historyHorizon = max(historyHorizon, table.historyEnd(reference.segment))
        entry.state = .used
        entry.stream = stream
        entry.generation = reference.generation
        entry.epochIndex = epochIndex
        table[reference.segment] = entry
    }

    private func lose(_ entry: MapEntry, _ header: RecordHeader) throws(VolumeError) {
        guard entry.isMapped else { return }
        guard let position = context.geometry.position(entry.block),
            table.loseLive(position.segment, header.sequence)
        else {
            throw .corrupt(
                "record \(header.sequence.rawValue) replaces \(entry.block), which the segment table has not in use"
            )
        }
    }

    private func load(_ block: LogicalBlock) throws(VolumeError) {
        while let (page, pointer) = map.missing(block, count: 1) {
            try install(page, pointer, try context.page(pointer, page.association))
        }
    }

    private func install(_ page: LogicalMap.Page, _ pointer: PagePointer, _ buffer: AlignedBuffer)
        throws(VolumeError)
    {
        guard map.install(page, at: pointer, UnsafeRawBufferPointer(buffer.bytes), context.geometry) else {
            throw .corrupt("map page \(page.index) of level \(page.level) points outside the volume")
        }
    }

    /// Reads the pages that `records` will ask for, many at a time, as far as they fit into memory.
    func prefetch(_ records: [RecordHeader]) throws(VolumeError) {
        var leaves: Set<Int> = []
        for header in records {
            for entry in header.entries where entry.kind == .data || entry.kind == .relocation {
                guard entry.address < map.logicalBlocks, leaves.count < map.cache.limitPages / 2 else { continue }
                leaves.insert(map.leafIndex(LogicalBlock(entry.address)))
            }
        }
        // One round for each level.
        for _ in map.counts {
            var wanted: [LogicalMap.Page: PagePointer] = [:]
            for leaf in leaves {
                if let (page, pointer) = map.missing(LogicalMap.Page(0, leaf)) { wanted[page] = pointer }
            }
            let pages = wanted.sorted { $0.key < $1.key }
            try context.forEachPage(pages.map { ($0.value, $0.key.association) }) {
                index, buffer throws(VolumeError) in
                try install(pages[index].key, pages[index].value, buffer)
            }
        }
    }
}
