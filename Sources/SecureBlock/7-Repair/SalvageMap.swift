/// The map as of the salvaged commit, rebuilt a range at a time from the base and the records after it.
final class SalvageMap {
    private let scan: RecordScan
    private let lineage: Lineage
    private var base: SalvageBase
    private let geometry: Geometry
    private let pages: PageKeys
    private let end: SequenceNumber
    /// The highest sequence up to ``end`` that is not there: what it may have changed is unknown.
    private let lastMissing: SequenceNumber
    private let newestGenerations: [Generation]
    /// Headers of records that can change something.
    private var relevant = SparseBitmap()
    /// Leaves that a page says something of, or a record of one block in them at least. Of the others only ``runs`` tell.
    private var named = SparseBitmap()
    private var runs = LeafRuns()

    var lostLeaves: UInt64 { base.missingLeaves }
    /// As the volume was planned, where a root says it.
    var sparePerMille: UInt32? { base.root.map(\.sparePerMille) }

    init(
        _ scan: RecordScan, _ survey: EpochSurvey, _ lineage: Lineage, _ base: SalvageBase, _ geometry: Geometry,
        _ pages: PageKeys, end: SequenceNumber, lastMissing: SequenceNumber, newestGenerations: [Generation]
    ) throws(VolumeError) {
        self.scan = scan
        self.lineage = lineage
        self.base = base
        self.geometry = geometry
        self.pages = pages
        self.end = end
        self.lastMissing = lastMissing
        self.newestGenerations = newestGenerations
        for (leaf, _) in base.map.stored { named.insert(UInt64(leaf)) }
        let floor = base.missingLeaves == 0 ? base.commit : SequenceNumber(0)
        try scan.forEachHeader(in: scan.headers) { header throws(VolumeError) in
            guard let member = lineage.member(header.epoch) else { return }
            if let epoch = survey.epochs[header.epoch] { offerPages(of: header, epoch, bound: member.bound) }
            guard header.sequence <= min(member.bound, end), header.sequence > floor,
                header.entries.contains(where: { [.data, .relocation, .discard, .lost].contains($0.kind) })
            else { return }
            relevant.insert(
                UInt64(header.position.segment) * UInt64(geometry.segmentBlocks) + UInt64(header.position.block))
            header.entries.forEach { name($0, header.sequence) }
        }
    }

    /// Offers the base the older copies of its missing leaves that a record holds.
    private func offerPages(of header: RecordHeader, _ epoch: EpochFacts, bound: SequenceNumber) {
        for (slot, entry) in header.entries.enumerated() where entry.kind == .mapPage {
            guard entry.association.level == 0, let leaf = Int(exactly: entry.address), base.isMissing(leaf),
                let commit = epoch.commit(ofPageIn: header.sequence), commit <= bound, commit <= end
            else { continue }
            let place = LogPosition(
                segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))
            let copy = EpochFacts.RootCopy(
                record: header.sequence, commit: commit, block: geometry.physical(place),
                generation: header.generation, tag: entry.tag)
            base.offer(.init(commit: commit, copy: copy, epoch: header.epoch), leaf: leaf)
            named.insert(entry.address)
        }
    }

    /// Notes the leaves that an entry says something of.
    private func name(_ entry: RecordEntry, _ sequence: SequenceNumber) {
        let end: UInt64
        switch entry.kind {
        case .data, .relocation: end = entry.address &+ 1
        case .discard, .lost: end = entry.address &+ entry.discardCount
        case .null, .mapPage, .tablePage, .epochPage, .snapshotPage, .root: return
        }
        let blocks = entry.address..<max(min(end, geometry.logicalBlocks), entry.address)
        guard !blocks.isEmpty else { return }
        let perPage = UInt64(MapEntry.perPage)
        let firstWhole = (blocks.lowerBound + perPage - 1) / perPage, endWhole = blocks.upperBound / perPage
        if firstWhole * perPage != blocks.lowerBound { named.insert(blocks.lowerBound / perPage) }
        if endWhole * perPage != blocks.upperBound { named.insert(endWhole) }
        guard firstWhole < endWhole else { return }
        noteRun(Int(firstWhole)..<Int(endWhole), isLost: entry.kind == .lost, sequence)
    }

    private func noteRun(_ leaves: Range<Int>, isLost: Bool, _ sequence: SequenceNumber) {
        // What was discarded before a record that is missing is in doubt as if it had not been, and when none is missing
        // nothing is: then all that nothing names is empty.
        guard isLost || sequence >= lastMissing && lastMissing.rawValue > 0 else { return }
        guard isLost, sequence <= base.commit else { return runs.note(leaves, isLost: isLost, sequence) }
        // The base is newer, as far as it is known.
        for part in RangeSet(leaves).intersection(base.map.unknown).ranges {
            runs.note(part, isLost: isLost, sequence)
        }
    }

    /// Copies every block to `target`, and says in `report` what could not be copied.
    func copy(
        memoryBytes: Int, to target: SalvageTarget, _ report: inout SalvageReport,
        progress: (UInt64, UInt64) -> Void
    ) throws(VolumeError) {
        // 16 bytes an entry.
        let leavesAtOnce = max(memoryBytes / (16 * MapEntry.perPage), 1)
        let copier = SalvageCopier(scan, lineage, geometry, lastMissing, doubtfulLeaves(), expectedGeneration)
        var batch: [Int] = []
        func flush() throws(VolumeError) {
            guard !batch.isEmpty else { return }
            let range = SalvageRange(batch, geometry)
            for leaf in batch { range.begin(leaf, try base.leaf(leaf, pages, geometry)) }
            try scan.forEachHeader(in: relevant) { header throws(VolumeError) in range.apply(header, geometry) }
            try copier.run(range, to: target, &report) { progress($0, geometry.logicalBlocks) }
            batch.removeAll(keepingCapacity: true)
        }
        try named.forEach { leaf throws(VolumeError) in
            batch.append(Int(leaf))
            if batch.count == leavesAtOnce { try flush() }
        }
        try flush()
        try copier.finish(to: target, leafCount: base.map.leafCount, &report)
    }

    /// Leaves that are lost unless something names them: empty as of the base's commit, or never known, and a record is
    /// missing that may have changed them.
    private func doubtfulLeaves() -> RangeSet<Int> {
        let (discarded, lost) = runs.resolved()
        var leaves = RangeSet<Int>()
        if lastMissing > base.commit {
            leaves.insert(contentsOf: 0..<base.map.leafCount)
        } else if lastMissing.rawValue > 0 {
            leaves = base.map.unknown
        }
        leaves.subtract(discarded)
        leaves.formUnion(lost)
        return leaves
    }

    /// The generation that a live block of the segment has at least.
    private func expectedGeneration(_ segment: UInt32) -> Generation {
        let index = Int(segment)
        if index < base.generations.count, let generation = base.generations[index] { return generation }
        return index < newestGenerations.count ? newestGenerations[index] : Generation(0)
    }
}
