/// Makes the segment table of a root anew, from the root's map and the record headers it leads to.
///
/// What the stored table says is kept where it can be read and the headers agree; live counts always come from the map.
/// Of a segment that nothing tells of, only a header at its start says how often it was used; as the next writer seals
/// under an epoch of its own, no nonce can repeat, whatever the count.
///
/// **Memory**: 16 bytes for each segment, and the table itself.
struct TableRebuild {
    private let context: VolumeContext
    private let root: Root
    private let scratch = AlignedBuffer(byteCount: blockBytes)
    private let stored = AlignedBuffer(byteCount: blockBytes)

    /// - Parameter hasSnapshots: their pins are in the table alone: a page of it that is lost cannot be made anew.
    /// - Throws: ``VolumeError/corrupt(_:)`` when the map has pages that do not verify: that is for a salvage.
    static func run(_ context: VolumeContext, _ root: Root, _ tree: PageTree, hasSnapshots: Bool)
        throws(VolumeError)
        -> SegmentTable
    {
        try TableRebuild(context: context, root: root).table(tree, hasSnapshots: hasSnapshots)
    }

    private init(context: VolumeContext, root: Root) {
        self.context = context
        self.root = root
    }

    private func table(_ tree: PageTree, hasSnapshots: Bool) throws(VolumeError) -> SegmentTable {
        let count = Int(context.geometry.segmentCount)
        let known = try storedEntries()
        guard !hasSnapshots || known.allSatisfy({ $0 != nil }) else {
            throw .corrupt("the segment table is lost in part, and snapshots depend on it")
        }
        var live = [UInt32](repeating: 0, count: count)
        var header = [PhysicalBlock](repeating: PhysicalBlock(0), count: count)
        var pages: [UInt32: PagePointer] = [:]
        tree.forEachPage { pointer, _, _ in
            guard let position = context.geometry.position(pointer.block) else { return }
            live[Int(position.segment)] += 1
            pages[position.segment] = pointer
        }
        let map = MapWalk(context, LogicalMap(logicalBlocks: root.logicalBlocks, top: root.mapTop))
        for leaf in 0..<map.leafCount {
            for entry in try map.entries(leaf) ?? [] where entry.isMapped {
                guard let position = context.geometry.position(entry.block), Int(position.block) > entry.slot else {
                    continue
                }
                live[Int(position.segment)] += 1
                if header[Int(position.segment)].rawValue == 0 { header[Int(position.segment)] = entry.header }
            }
        }
        let table = SegmentTable(count: count, segmentBlocks: context.geometry.segmentBlocks)
        for segment in 0..<UInt32(count) {
            let first = context.geometry.physical(LogPosition(segment: segment, block: 0))
            let isNamed = header[Int(segment)].rawValue > 0
            var made = try entry(
                known[Int(segment)], live: live[Int(segment)], pages[segment],
                headerAt: isNamed ? header[Int(segment)] : first)
            for (stream, place) in zip(StreamID.allCases, root.streams) {
                for (own, generation) in [
                    (place.position.segment, place.generation), (place.next.segment, place.next.generation),
                ] where own == segment {
                    made.state = .used
                    made.stream = stream
                    made.generation = generation
                    made.epochIndex = root.epochIndex
                }
            }
            table.restore(made, of: Int(segment))
        }
        table.indexAll()
        for page in 0..<SegmentTable.pageCount(segments: count) { table.touch(page: page) }
        return table
    }

    private func entry(
        _ known: SegmentEntry?, live: UInt32, _ page: PagePointer?, headerAt place: PhysicalBlock
    ) throws(VolumeError) -> SegmentEntry {
        var entry = known ?? SegmentEntry()
        entry.live = live
        // The stored entry is verified and of the root's time; a header is only known to have been written once.
        if known != nil, live == 0 || entry.state != .neverUsed { return entry }
        if let page {
            entry.state = .used
            entry.stream = .meta
            entry.generation = page.generation
            entry.epochIndex = page.epochIndex
        } else if let found = try use(at: place) {
            entry.state = .used
            entry.stream = found.stream
            entry.generation = found.generation
            entry.epochIndex = found.epochIndex
        } else if live > 0 {
            // Nothing there can be read; its readers hear of it, and nobody writes over it.
            entry.state = .damaged
        }
        if entry.state != .neverUsed {
            entry.lastDeath = root.commit.sequence
            entry.lastRecord = root.commit.sequence
        }
        return entry
    }

    /// The use of a segment that a header in it belongs to.
    private func use(at place: PhysicalBlock) throws(VolumeError) -> (
        generation: Generation, epochIndex: UInt32, stream: StreamID
    )? {
        // What the host refuses today it may give tomorrow: its blocks are not to be marked lost for that.
        do throws(HostError) { try context.host.read(at: context.offset(place), into: stored.bytes) } catch {
            throw .host(error)
        }
        let bytes = UnsafeRawBufferPointer(stored.bytes)
        do throws(SealError) {
            guard let clear = ClearRecordHeader(bytes), clear.position == context.geometry.position(place),
                let index = context.epochs.index(of: clear.epoch), let key = try context.epochs.key(index),
                let header = try RecordHeader.open(bytes, clear, at: place, key, scratch: scratch.bytes)
            else { return nil }
            return (header.generation, index, header.stream)
        } catch { throw .crypto("\(error)") }
    }

    /// The stored table's entries; `nil` where a page does not verify.
    private func storedEntries() throws(VolumeError) -> [SegmentEntry?] {
        let count = Int(context.geometry.segmentCount)
        var entries = [SegmentEntry?](repeating: nil, count: count)
        let page = AlignedBuffer(byteCount: blockBytes)
        let read = {
            [context] (pointer: PagePointer, association: BlockAssociation) throws(VolumeError)
                -> UnsafeRawBufferPointer? in
            do throws(SealError) {
                guard case .verified(let buffer) = try context.readPage(pointer, association) else { return nil }
                page.bytes.copyMemory(from: UnsafeRawBufferPointer(buffer.bytes))
                return UnsafeRawBufferPointer(page.bytes)
            } catch { throw .crypto("\(error)") }
        }
        let pages = SegmentTable.pageCount(segments: count)
        let tree = try PartialTree(.tablePage, leafCount: pages, top: root.tableTop, read: read)
        for index in 0..<pages where !tree.unknown.contains(index) {
            let start = index * SegmentEntry.perPage, end = min(start + SegmentEntry.perPage, count)
            guard let pointer = tree.pointer(index) else {
                for segment in start..<end { entries[segment] = SegmentEntry() }
                continue
            }
            guard let bytes = try read(pointer, BlockAssociation(.tablePage, address: UInt64(index)))
            else { continue }
            var reader = ByteReader(bytes)
            do throws(ParseError) {
                for segment in start..<end { entries[segment] = try SegmentEntry(parsing: &reader) }
            } catch { continue }
        }
        return entries
    }
}
