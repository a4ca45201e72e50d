/// Holds the map against record headers and segment table, and, if asked, reads all data.
final class MapChecker {
    private let context: VolumeContext
    private let map: LogicalMap
    private let table: SegmentTable
    private let options: VolumeCheck.Options
    private let report: (VolumeFinding) -> Void
    private(set) var mapped: UInt64 = 0
    private(set) var lost: UInt64 = 0
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

    /// Takes the map's entries by segment, so that each segment is read once, forward: as many segments at a time as
    /// ``VolumeCheck/Options/memoryBytes`` allow, with one pass over the map for each such range.
    func run(_ progress: (UInt64, UInt64) -> Void) throws(VolumeError) {
        let geometry = context.geometry
        let segmentsAtOnce = max(options.memoryBytes / (geometry.segmentBlocks * 8), 1)
        let walk = MapWalk(context, map)
        // The segments that each leaf points to, once it was read: later passes leave out what cannot concern them.
        var reach = [ClosedRange<UInt32>?](repeating: 0...UInt32.max, count: walk.leafCount)
        let passes = (Int(geometry.segmentCount) + segmentsAtOnce - 1) / segmentsAtOnce
        let (tree, pages) = try readTree()
        for lost in tree.lost {
            for leaf in lost.leaves { reach[leaf] = nil }
        }
        let total = UInt64(passes) * UInt64(walk.leafCount) + UInt64(geometry.segmentCount)
        var done: UInt64 = 0
        for start in stride(from: 0, to: Int(geometry.segmentCount), by: segmentsAtOnce) {
            let end = UInt32(min(start + segmentsAtOnce, Int(geometry.segmentCount)))
            let range = SegmentEntries(UInt32(start)..<end, geometry)
            for leaf in 0..<walk.leafCount {
                if let reached = reach[leaf], reached.overlaps(range.segments.lowerBound...end - 1) {
                    reach[leaf] = take(leaf, walk, range, isFirst: start == 0)
                }
                done += 1
                progress(done, total)
            }
            for segment in range.segments {
                let entries = range.entries(of: segment)
                checkCounts(segment, live: entries.count + pages[segment, default: 0])
                try check(segment, entries)
                done += 1
                progress(done, total)
            }
        }
    }

    /// Reads the pages above the leaves and says which do not verify.
    /// - Returns: also how many pages of the map each segment has: they are live blocks of it too.
    private func readTree() throws(VolumeError) -> (PartialTree, pages: [UInt32: Int]) {
        var pages: [UInt32: Int] = [:]
        func count(_ pointer: PagePointer) {
            if let position = context.geometry.position(pointer.block) { pages[position.segment, default: 0] += 1 }
        }
        var page: AlignedBuffer?
        var reasons: [PhysicalBlock: String] = [:]
        let tree = try PartialTree(.mapPage, leafCount: map.leafCount, top: map.top) {
            pointer, association throws(VolumeError) in
            count(pointer)
            do throws(VolumeError) {
                let read = try context.page(pointer, association)
                page = read
                return UnsafeRawBufferPointer(read.bytes)
            } catch {
                if case .crypto = error { throw error }
                reasons[pointer.block] = "\(error)"
                return nil
            }
        }
        withExtendedLifetime(page) {}
        for leaf in tree.stored { count(leaf.pointer) }
        for lost in tree.lost {
            let first = UInt64(lost.leaves.lowerBound) * UInt64(MapEntry.perPage)
            let end = min(UInt64(lost.leaves.upperBound) * UInt64(MapEntry.perPage), map.logicalBlocks)
            report(
                VolumeFinding(
                    .error, "map-page",
                    "map page \(lost.index) of level \(lost.level), blocks \(first) to \(end - 1): "
                        + (reasons[lost.pointer.block] ?? "it verifies and is none"),
                    block: LogicalBlock(first), physical: lost.pointer.block))
        }
        return (tree, pages)
    }

    /// Sorts one leaf's entries into the range.
    /// - Parameter isFirst: say what is wrong with them, which each pass would find again.
    /// - Returns: the segments that it points to.
    private func take(_ leaf: Int, _ walk: MapWalk, _ range: SegmentEntries, isFirst: Bool) -> ClosedRange<UInt32>?
    {
        let first = UInt64(leaf) * UInt64(MapEntry.perPage)
        let entries: [MapEntry]
        do throws(VolumeError) {
            guard let found = try walk.entries(leaf) else { return nil }
            entries = found
        } catch {
            if isFirst {
                report(
                    VolumeFinding(
                        .error, "map-page", "map page \(leaf), blocks from \(first): \(error)",
                        block: LogicalBlock(first), physical: map.missing(LogicalMap.Page(0, leaf))?.pointer.block))
            }
            return nil
        }
        var reached: ClosedRange<UInt32>?
        for (offset, entry) in entries.enumerated() where entry != .none {
            let block = LogicalBlock(first + UInt64(offset))
            if entry.isLost {
                if isFirst { lost += 1 }
                continue
            }
            guard let position = context.geometry.position(entry.block), !entry.hasUnknownFlags,
                Int(position.block) > entry.slot
            else {
                if isFirst {
                    report(
                        VolumeFinding(
                            .error, "map-entry", "the map has \(block) at \(entry.block), where no data can be",
                            block: block))
                }
                continue
            }
            if isFirst { mapped += 1 }
            let low = min(reached?.lowerBound ?? position.segment, position.segment)
            reached = low...max(reached?.upperBound ?? position.segment, position.segment)
            guard range.segments.contains(position.segment) else { continue }
            if let other = range.put(position, entry.slot, block) {
                report(
                    VolumeFinding(
                        .error, "map-shared", "the map has \(block) and \(other) at \(entry.block)", block: block,
                        physical: entry.block))
            }
        }
        return reached
    }

    private func checkCounts(_ segment: UInt32, live: Int) {
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
                if Sabotage.isOn(.checkSkipsHeaders) { continue }
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
            if isAuthentic || Sabotage.isOn(.checkSkipsData) {
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
