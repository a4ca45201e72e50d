/// The newest checkpoint that can still be read, in part or whole: what the map was as of one commit.
///
/// A block that the map of commit C has at some place, and that no later record names, is exactly there or lost. So the
/// checkpoint tells what records alone cannot: which old copies are stale, and which blocks are empty. Where a page of
/// it is gone, the newest older copy of that page is taken, for what it knew; see ``Gap``.
struct SalvageBase {
    /// The commit described; 0 without any root.
    let commit: SequenceNumber
    let root: Root?
    /// The root was read from a slot, not from its copy in the log.
    let isFromSlot: Bool
    let map: PartialTree
    /// Generations that the segment table names; `nil` where its page is lost.
    let generations: [Generation?]
    let lostTablePages: UInt64
    /// Leaves whose own page is lost, as far as a page above names them; see also ``PartialTree/unknown``.
    private var lostLeaves: Set<Int> = []
    /// Older copies that stand in for pages that are lost.
    private var substitutes: [Int: Substitute] = [:]

    struct Substitute {
        var commit: SequenceNumber
        var copy: EpochFacts.RootCopy
        var epoch: Tag
    }

    /// - Parameter root: `nil` when none can be read.
    init(
        _ root: Root?, isFromSlot: Bool, _ geometry: Geometry, _ pages: PageKeys,
        progress: (UInt64, UInt64) -> Void
    ) throws(VolumeError) {
        self.root = root
        self.isFromSlot = isFromSlot
        commit = root?.commit.sequence ?? SequenceNumber(0)
        let leafCount = LogicalMap.leafCount(logicalBlocks: geometry.logicalBlocks)
        let tablePages = SegmentTable.pageCount(segments: Int(geometry.segmentCount))
        var generations = [Generation?](repeating: nil, count: Int(geometry.segmentCount))
        guard let root else {
            map = PartialTree(leafCount: leafCount)
            self.generations = generations
            lostTablePages = 0
            return
        }
        let read = { (pointer: PagePointer, association: BlockAssociation) throws(VolumeError) in
            try pages.read(pointer, association)
        }
        map = try PartialTree(.mapPage, leafCount: leafCount, top: root.mapTop, read: read)
        let table = try PartialTree(.tablePage, leafCount: tablePages, top: root.tableTop, read: read)
        var lost = UInt64(table.lost.count)
        for page in 0..<tablePages where !table.unknown.contains(page) {
            let start = page * SegmentEntry.perPage
            let end = min(start + SegmentEntry.perPage, generations.count)
            guard let pointer = table.pointer(page) else {
                for segment in start..<end { generations[segment] = Generation(0) }
                continue
            }
            let bytes = try read(pointer, BlockAssociation(.tablePage, address: UInt64(page)))
            do throws(ParseError) {
                guard let bytes else { throw .unexpected(field: "page", position: 0) }
                var reader = ByteReader(bytes)
                for segment in start..<end { generations[segment] = try SegmentEntry(parsing: &reader).generation }
            } catch { lost += 1 }
        }
        self.generations = generations
        lostTablePages = lost
        for (done, (leaf, pointer)) in map.stored.enumerated() {
            progress(UInt64(done), UInt64(map.stored.count))
            let page = try read(pointer, BlockAssociation(.mapPage, address: UInt64(leaf)))
            if page.map({ !geometry.isPlausible(LeafPage(bytes: $0)) }) ?? true { lostLeaves.insert(leaf) }
        }
    }

    /// Leaves of which the newest copy cannot be had.
    var missingLeaves: UInt64 {
        map.unknown.ranges.reduce(UInt64(lostLeaves.count)) { $0 + UInt64($1.count) }
    }

    func isMissing(_ leaf: Int) -> Bool { map.unknown.contains(leaf) || lostLeaves.contains(leaf) }

    /// Notes an older copy of a missing page; the newest stays.
    mutating func offer(_ substitute: Substitute, leaf: Int) {
        guard isMissing(leaf) else { return }
        if let present = substitutes[leaf], present.commit >= substitute.commit { return }
        substitutes[leaf] = substitute
    }

    /// What is known of one leaf: as of which commit, and the page then; `nil` for one that was empty.
    enum Leaf {
        case known(SequenceNumber, UnsafeRawBufferPointer?)
        /// From an older copy of the page: what came between is only in records, as far as those are there.
        case older(SequenceNumber, UnsafeRawBufferPointer)
        case nothing
    }

    func leaf(_ index: Int, _ pages: PageKeys, _ geometry: Geometry) throws(VolumeError) -> Leaf {
        if isMissing(index) {
            guard let substitute = substitutes[index],
                let bytes = try pages.scan.block(
                    at: substitute.copy.block, substitute.copy.generation, epoch: substitute.epoch,
                    BlockAssociation(.mapPage, address: UInt64(index)), substitute.copy.tag),
                geometry.isPlausible(LeafPage(bytes: bytes))
            else { return .nothing }
            return .older(substitute.commit, bytes)
        }
        guard let pointer = map.pointer(index) else { return .known(commit, nil) }
        guard let bytes = try pages.read(pointer, BlockAssociation(.mapPage, address: UInt64(index)))
        else { return .nothing }
        return .known(commit, bytes)
    }
}

/// Opens pages by their pointers without an epoch table: a pointer's epoch is found among those of the line, once for
/// each index.
final class PageKeys {
    let scan: RecordScan
    private let epochs: [Tag]
    private var known: [UInt32: Tag] = [:]

    init(_ scan: RecordScan, _ lineage: Lineage) {
        self.scan = scan
        epochs = lineage.members.reversed().map(\.epoch)
    }

    /// The verified bytes, valid until the next read.
    func read(_ pointer: PagePointer, _ association: BlockAssociation) throws(VolumeError)
        -> UnsafeRawBufferPointer?
    {
        for epoch in known[pointer.epochIndex].map({ [$0] }) ?? epochs {
            if let bytes = try scan.block(
                at: pointer.block, pointer.generation, epoch: epoch, association, pointer.tag)
            {
                known[pointer.epochIndex] = epoch
                return bytes
            }
        }
        return nil
    }
}
