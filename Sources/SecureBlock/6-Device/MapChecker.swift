/// Holds the map against record headers and segment table, and, if asked, reads all data.
final class MapChecker {
    private let context: VolumeContext
    private let map: LogicalMap
    private let table: SegmentTable
    private let options: VolumeCheck.Options
    private let report: (VolumeFinding) -> Void
    private(set) var mapped: UInt64 = 0
    private(set) var headers: UInt64 = 0
    private(set) var data: UInt64 = 0

    init(
        _ context: VolumeContext, _ map: LogicalMap, _ table: SegmentTable, _ options: VolumeCheck.Options,
        _ report: @escaping (VolumeFinding) -> Void
    ) {
        self.context = context
        self.map = map
        self.table = table
        self.options = options
        self.report = report
    }

    /// The map's entries by segment, so that each segment is read once, forward.
    func run(_ progress: (UInt64, UInt64) -> Void) throws(VolumeError) {
        var bySegment: [UInt32: [(block: UInt32, slot: Int, logical: UInt64)]] = [:]
        for leaf in 0..<map.leafCount {
            let first = LogicalBlock(UInt64(leaf) * UInt64(MapEntry.perPage))
            guard load(leaf, first) else { continue }
            for offset in 0..<min(UInt64(MapEntry.perPage), map.logicalBlocks - first.rawValue) {
                let block = LogicalBlock(first.rawValue + offset)
                let entry = map.entry(block)
                guard entry.isMapped else { continue }
                guard let position = context.geometry.position(entry.block), !entry.hasUnknownFlags,
                    Int(position.block) > entry.slot
                else {
                    report(
                        VolumeFinding(
                            .error, "map-entry", "the map has \(block) at \(entry.block), where no data can be",
                            block: block))
                    continue
                }
                mapped += 1
                bySegment[position.segment, default: []].append((position.block, entry.slot, block.rawValue))
            }
        }
        var pages: [UInt32: Int] = [:]
        map.tree.forEachPage { pointer, _, _ in
            if let position = context.geometry.position(pointer.block) { pages[position.segment, default: 0] += 1 }
        }
        var done: UInt64 = 0
        for segment in 0..<context.geometry.segmentCount {
            let entries = (bySegment[segment] ?? []).sorted { $0.block < $1.block }
            let live = entries.count + pages[segment, default: 0]
            if table[segment].live != UInt32(live) {
                report(
                    VolumeFinding(
                        .error, "live-count",
                        "segment \(segment): the table counts \(table[segment].live) live blocks, the map \(live)"))
            }
            if table[segment].state == .damaged {
                report(
                    VolumeFinding(
                        .warning, "segment-damaged", "segment \(segment) could not be cleaned and is left alone"))
            }
            try check(segment, entries)
            done += UInt64(entries.count)
            progress(done, mapped)
        }
    }

    private func load(_ leaf: Int, _ first: LogicalBlock) -> Bool {
        guard map.missingLeaf(first, count: 1) != nil else { return true }
        let pointer = map.tree.leaf(leaf)
        do throws(VolumeError) {
            let page = try context.page(pointer, BlockAssociation(.mapPage, address: UInt64(leaf)))
            map.install(leaf: leaf, LeafPage(bytes: UnsafeRawBufferPointer(page.bytes)))
            return true
        } catch {
            report(
                VolumeFinding(
                    .error, "map-page", "map page \(leaf), blocks from \(first.rawValue): \(error)", block: first,
                    physical: pointer.block))
            return false
        }
    }

    /// One segment's blocks, each with the slot the map has for it.
    private func check(_ segment: UInt32, _ entries: [(block: UInt32, slot: Int, logical: UInt64)])
        throws(VolumeError)
    {
        guard !entries.isEmpty else { return }
        let state = table[segment]
        let key: SealingKey
        do {
            guard let found = try context.epochs.key(state.epochIndex) else {
                report(
                    VolumeFinding(.error, "segment-epoch", "segment \(segment) names an epoch that is not there"))
                return
            }
            key = found
        } catch { throw .crypto("\(error)") }
        let window = SegmentWindow(context, segment: segment)
        let scratch = AlignedBuffer(byteCount: blockBytes)
        var header: (at: UInt32, record: RecordHeader?)?
        for entry in entries {
            let at = entry.block - 1 - UInt32(entry.slot)
            if header?.at != at {
                header = (at, try openHeader(segment, at, state, key, window, scratch))
                if header?.record != nil { headers += 1 }
            }
            let position = LogPosition(segment: segment, block: entry.block)
            let physical = context.geometry.physical(position), logical = LogicalBlock(entry.logical)
            guard let record = header?.record else {
                report(
                    VolumeFinding(
                        .error, "header",
                        "the record header of \(logical) at segment \(segment), block \(at), does "
                            + "not verify", block: logical, physical: physical))
                continue
            }
            guard entry.slot < record.dataBlocks, record.entries[entry.slot].address == entry.logical,
                [.data, .relocation].contains(record.entries[entry.slot].kind)
            else {
                report(
                    VolumeFinding(
                        .error, "map-header", "the map has \(logical) in a record that does not name it",
                        block: logical, physical: physical))
                continue
            }
            if options.readsData {
                try checkData(
                    logical, position, record.entries[entry.slot], state.generation, key, window, scratch)
            }
        }
    }

    private func openHeader(
        _ segment: UInt32, _ at: UInt32, _ state: SegmentEntry, _ key: SealingKey, _ window: SegmentWindow,
        _ scratch: AlignedBuffer
    ) throws(VolumeError) -> RecordHeader? {
        let position = LogPosition(segment: segment, block: at)
        do {
            let stored = try window.block(Int(at))
            guard let clear = ClearRecordHeader(stored), clear.position == position,
                clear.generation == state.generation
            else { return nil }
            return try RecordHeader.open(
                stored, clear, at: context.geometry.physical(position), key, scratch: scratch.bytes)
        } catch let error as HostError {
            report(
                VolumeFinding(
                    .error, "host-read", "reading segment \(segment), block \(at): \(error)",
                    physical: context.geometry.physical(position)))
            return nil
        } catch { throw .crypto("\(error)") }
    }

    private func checkData(
        _ logical: LogicalBlock, _ position: LogPosition, _ entry: RecordEntry, _ generation: Generation,
        _ key: SealingKey, _ window: SegmentWindow, _ scratch: AlignedBuffer
    ) throws(VolumeError) {
        let physical = context.geometry.physical(position)
        do {
            guard let output = scratch.bytes.baseAddress else { preconditionFailure("scratch is a block") }
            let isAuthentic = try key.open(
                try window.block(Int(position.block)), into: output, at: physical, generation,
                as: entry.association, tag: entry.tag)
            if isAuthentic {
                data += 1
            } else {
                report(
                    VolumeFinding(
                        .error, "data", "\(logical) at \(physical) does not verify", block: logical,
                        physical: physical))
            }
        } catch let error as HostError {
            report(
                VolumeFinding(
                    .error, "host-read", "\(logical) at \(physical): \(error)", block: logical, physical: physical))
        } catch { throw .crypto("\(error)") }
    }
}
