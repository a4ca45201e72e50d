/// The map as of the salvaged commit, rebuilt a range at a time from the base and the records after it.
final class SalvageMap {
    private let scan: RecordScan
    private let lineage: Lineage
    private let base: SalvageBase
    private let geometry: Geometry
    private let pages: PageKeys
    private let end: SequenceNumber
    /// The highest sequence up to ``end`` that is not there: what it may have changed is unknown.
    private let lastMissing: SequenceNumber
    private let newestGenerations: [Generation]
    /// Headers of records that can change something.
    private var relevant = BlockBitmap()

    var lostLeaves: UInt64 { UInt64(base.missing.count) }
    /// As the volume was planned, where a root says it.
    var sparePerMille: UInt32? { base.root.map(\.sparePerMille) }

    init(
        _ scan: RecordScan, _ survey: EpochSurvey, _ lineage: Lineage, _ base: SalvageBase, _ geometry: Geometry,
        _ pages: PageKeys, end: SequenceNumber, lastMissing: SequenceNumber, newestGenerations: [Generation]
    ) throws(VolumeError) {
        self.scan = scan
        self.lineage = lineage
        self.geometry = geometry
        self.pages = pages
        self.end = end
        self.lastMissing = lastMissing
        self.newestGenerations = newestGenerations
        var base = base
        var relevant = BlockBitmap()
        let floor = base.missing.isEmpty ? base.commit : SequenceNumber(0)
        try scan.forEachHeader(in: scan.headers) { header throws(VolumeError) in
            guard let member = lineage.member(header.epoch) else { return }
            for (slot, entry) in header.entries.enumerated() where entry.kind == .mapPage {
                guard entry.association.level == 0, let leaf = Int(exactly: entry.address),
                    base.missing[leaf] != nil,
                    let commit = survey.epochs[header.epoch]?.commit(ofPageIn: header.sequence),
                    commit <= member.bound, commit <= end
                else { continue }
                let place = LogPosition(
                    segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))
                base.offer(
                    .init(
                        commit: commit,
                        copy: .init(
                            record: header.sequence, commit: commit, block: geometry.physical(place),
                            generation: header.generation, tag: entry.tag), epoch: header.epoch), leaf: leaf)
            }
            guard header.sequence <= min(member.bound, end), header.sequence > floor,
                header.entries.contains(where: { [.data, .relocation, .discard, .lost].contains($0.kind) })
            else { return }
            relevant.insert(
                UInt64(header.position.segment) * UInt64(geometry.segmentBlocks) + UInt64(header.position.block))
        }
        self.base = base
        self.relevant = relevant
    }

    /// Copies every block to `target`, and says in `report` what could not be copied.
    func copy(
        memoryBytes: Int, to target: SalvageTarget, _ report: inout SalvageReport,
        progress: (UInt64, UInt64) -> Void
    ) throws(VolumeError) {
        let leafCount = LogicalMap.leafCount(logicalBlocks: geometry.logicalBlocks)
        // 16 bytes an entry.
        let leavesAtOnce = max(memoryBytes / (16 * MapEntry.perPage), 1)
        for start in stride(from: 0, to: leafCount, by: leavesAtOnce) {
            let range = SalvageRange(start..<min(start + leavesAtOnce, leafCount), geometry)
            for leaf in range.leaves { range.begin(leaf, try base.leaf(leaf, pages, geometry)) }
            try scan.forEachHeader(in: relevant) { header throws(VolumeError) in range.apply(header, geometry) }
            let copier = SalvageCopier(scan, range, lineage, geometry, lastMissing, expectedGeneration)
            try copier.run(to: target, &report) { progress(range.first + $0, geometry.logicalBlocks) }
        }
    }

    /// The generation that a live block of the segment has at least.
    private func expectedGeneration(_ segment: UInt32) -> Generation {
        let index = Int(segment)
        if index < base.generations.count, let generation = base.generations[index] { return generation }
        return index < newestGenerations.count ? newestGenerations[index] : Generation(0)
    }
}

/// A range of the map while it is rebuilt: each entry, and the sequence that it is from.
final class SalvageRange {
    let leaves: Range<Int>
    let first: UInt64
    let count: Int
    // SAFETY: `count` elements each, owned by this object; indices are checked against `count`.
    private let entries: UnsafeMutablePointer<MapEntry>
    private let sequences: UnsafeMutablePointer<UInt64>
    /// The commit that each leaf's base describes, and whether that is the newest base there is.
    private var bases: [(commit: SequenceNumber, isNewest: Bool)]

    init(_ leaves: Range<Int>, _ geometry: Geometry) {
        self.leaves = leaves
        let perPage = UInt64(MapEntry.perPage)
        first = UInt64(leaves.lowerBound) * perPage
        count = Int(min(UInt64(leaves.upperBound) * perPage, geometry.logicalBlocks) - first)
        entries = .allocate(capacity: count)
        entries.initialize(repeating: .none, count: count)
        sequences = .allocate(capacity: count)
        sequences.initialize(repeating: 0, count: count)
        bases = Array(repeating: (SequenceNumber(0), false), count: leaves.count)
    }

    deinit {
        entries.deallocate()
        sequences.deallocate()
    }

    func begin(_ leaf: Int, _ known: SalvageBase.Leaf) {
        let bytes: UnsafeRawBufferPointer?
        switch known {
        case .known(let commit, let page):
            bases[leaf - leaves.lowerBound] = (commit, true)
            bytes = page
        case .older(let commit, let page):
            bases[leaf - leaves.lowerBound] = (commit, false)
            bytes = page
        case .nothing: bytes = nil
        }
        let commit = bases[leaf - leaves.lowerBound].commit.rawValue
        let start = (leaf - leaves.lowerBound) * MapEntry.perPage
        for offset in 0..<min(MapEntry.perPage, count - start) {
            sequences[start + offset] = commit
            if let bytes {
                // SAFETY: a page is a block, which holds `perPage` words.
                entries[start + offset] = MapEntry(
                    bits: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset * 8, as: UInt64.self)))
            }
        }
    }

    /// Takes what a record says of blocks in the range, if it is newer than what is there.
    func apply(_ header: RecordHeader, _ geometry: Geometry) {
        for (slot, entry) in header.entries.enumerated() {
            switch entry.kind {
            case .data, .relocation:
                let place = LogPosition(
                    segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))
                set(entry.address, MapEntry(block: geometry.physical(place), slot: slot), header.sequence)
            case .discard, .lost:
                let last = entry.address &+ entry.discardCount
                guard last >= entry.address else { continue }
                let start = max(entry.address, first), end = min(last, first + UInt64(count))
                guard start < end else { continue }
                for block in start..<end { set(block, entry.kind == .lost ? .lost : .none, header.sequence) }
            case .null, .mapPage, .tablePage, .epochPage, .snapshotPage, .root: break
            }
        }
    }

    private func set(_ block: UInt64, _ entry: MapEntry, _ sequence: SequenceNumber) {
        guard block >= first, block - first < UInt64(count) else { return }
        let index = Int(block - first)
        guard sequence > bases[index / MapEntry.perPage].commit, sequence.rawValue >= sequences[index] else {
            return
        }
        entries[index] = entry
        sequences[index] = sequence.rawValue
    }

    /// What is known of one block.
    func state(_ index: Int) -> (
        entry: MapEntry, sequence: SequenceNumber, base: SequenceNumber, isNewestBase: Bool
    ) {
        precondition(index < count)
        let base = bases[index / MapEntry.perPage]
        return (entries[index], SequenceNumber(sequences[index]), base.commit, base.isNewest)
    }
}
