/// Where the state ends, and what was learnt on the way there.
struct SalvageEnd {
    var commit = SequenceNumber(0)
    var milliseconds: UInt64 = 0
    var seen = SequenceSet()
    /// The newest generation that a record of the line has, by segment; 0 for none.
    var newestGenerations: [Generation] = []
    private var highest: UInt64 = 0

    mutating func note(_ header: RecordHeader, _ geometry: Geometry) {
        let segment = Int(header.position.segment)
        if segment >= newestGenerations.count {
            newestGenerations += Array(repeating: Generation(0), count: segment + 1 - newestGenerations.count)
        }
        newestGenerations[segment] = max(newestGenerations[segment], header.generation)
        for entry in header.entries {
            switch entry.kind {
            case .data, .relocation: highest = max(highest, entry.address)
            case .discard, .lost: highest = max(highest, entry.address &+ max(entry.discardCount, 1) &- 1)
            case .null, .mapPage, .tablePage, .epochPage, .snapshotPage, .root: break
            }
        }
    }

    /// A size that no root tells: all that was ever named, and all that the log could hold.
    func sizeInBlocks(_ geometry: Geometry) -> UInt64 {
        let log = UInt64(geometry.segmentCount) * UInt64(geometry.segmentBlocks)
        return min(max(min(highest, Layout.maximumLogicalBlocks - 1) + 1, log), Layout.maximumLogicalBlocks)
    }
}

extension Salvage {
    /// Puts the epochs in line.
    mutating func findLine(
        _ scan: RecordScan, _ survey: EpochSurvey, _ source: SalvageSource, _ anchor: AnchorValue?
    ) throws(VolumeError) -> Lineage {
        var evidence = Lineage.Evidence(
            epochs: survey.epochs, tables: [:], recoveredFrom: [:], found: [:],
            anchor: anchor.map { Root.Commit(sequence: $0.sequence, tag: $0.tag) },
            slotEpoch: source.roots.first?.epoch)
        var wanted: Set<Tag> = []
        if let anchor { wanted.insert(anchor.tag) }
        for (epoch, facts) in survey.epochs {
            wanted.insert(facts.previousTag)
            evidence.tables[epoch] = try epochTable(facts, scan)
            var root = source.roots.first { $0.epoch == epoch }
            if root == nil { root = try rootCopy(of: facts, scan) }
            if let root {
                evidence.recoveredFrom[epoch] = root.recoveredFrom
                wanted.insert(root.recoveredFrom.tag)
            }
        }
        wanted.remove(.zero)
        if survey.epochs.count > 1 || anchor != nil {
            var done: UInt64 = 0
            try scan.forEachHeader(in: scan.headers) { header throws(VolumeError) in
                if wanted.contains(header.tag) { evidence.found[header.tag] = (header.epoch, header.sequence) }
                done += 1
                progress(.ordering, done, scan.headers.count)
            }
        }
        guard let lineage = Lineage(evidence) else {
            throw .corrupt("no record header verifies: nothing is left to salvage, or it is not this volume's key")
        }
        report.isLineInferred = lineage.isInferred
        report.branches = lineage.branches.compactMap { epoch in
            survey.epochs[epoch].map {
                SalvageReport.Branch(
                    epoch: epoch, records: $0.records, first: $0.first, last: $0.last,
                    lastMilliseconds: $0.lastMilliseconds)
            }
        }
        if let anchor {
            let place = evidence.found[anchor.tag]
            let isOnLine = place.map { $0.sequence == anchor.sequence && lineage.counts($0.epoch, $0.sequence) }
            report.freshness = isOnLine == true ? .anchored : .notFound(anchor: anchor.sequence)
        }
        return lineage
    }

    /// The identifiers in an epoch's own table, when all its pages can be read.
    private func epochTable(_ facts: EpochFacts, _ scan: RecordScan) throws(VolumeError) -> Set<Tag>? {
        guard !facts.epochPages.isEmpty else { return nil }
        var identifiers: Set<Tag> = []
        for index in 0..<UInt64(facts.epochPages.count) {
            guard let copy = facts.epochPages[index],
                let bytes = try scan.block(
                    at: copy.block, copy.generation, epoch: facts.identifier,
                    BlockAssociation(.epochPage, address: index), copy.tag)
            else { return nil }
            var reader = ByteReader(bytes)
            do throws(ParseError) {
                for _ in 0..<Epoch.perPage {
                    let epoch = try Epoch(parsing: &reader)
                    if !epoch.isFree { identifiers.insert(epoch.identifier) }
                }
            } catch { return nil }
        }
        return identifiers
    }

    /// The newest of an epoch's roots whose copy can be read.
    private func rootCopy(of facts: EpochFacts, _ scan: RecordScan) throws(VolumeError) -> Root? {
        for copy in facts.rootCopies.reversed().prefix(64) {
            if let root = try read(copy, facts.identifier, scan) { return root }
        }
        return nil
    }

    private func read(_ copy: EpochFacts.RootCopy, _ epoch: Tag, _ scan: RecordScan) throws(VolumeError) -> Root? {
        guard
            let bytes = try scan.block(
                at: copy.block, copy.generation, epoch: epoch,
                BlockAssociation(.root, address: copy.commit.rawValue), copy.tag)
        else { return nil }
        do throws(ParseError) {
            let root = try Root(
                parsingPayload: UnsafeRawBufferPointer(rebasing: bytes[..<Root.payloadBytes]), number: 0)
            return root.epoch == epoch && root.commit.sequence == copy.commit ? root : nil
        } catch { return nil }
    }

    /// The newest root that describes a commit of the state, from a slot or from the log.
    func chooseRoot(
        _ scan: RecordScan, _ survey: EpochSurvey, _ lineage: Lineage, _ source: SalvageSource,
        _ end: SequenceNumber
    ) throws(VolumeError) -> (root: Root, isFromSlot: Bool)? {
        let slot = source.roots.filter { lineage.counts($0.epoch, $0.commit.sequence) && $0.commit.sequence <= end }
            .max { ($0.commit.sequence, $0.number) < ($1.commit.sequence, $1.number) }
        var copies: [(epoch: Tag, copy: EpochFacts.RootCopy)] = []
        for member in lineage.members {
            for copy in survey.epochs[member.epoch]?.rootCopies ?? []
            where copy.commit <= member.bound && copy.commit <= end
                && copy.commit > slot?.commit.sequence ?? SequenceNumber(0)
            {
                copies.append((member.epoch, copy))
            }
        }
        copies.sort { ($0.copy.commit, $0.copy.record) > ($1.copy.commit, $1.copy.record) }
        for (epoch, copy) in copies {
            if let root = try read(copy, epoch, scan), isPlausible(root, source.geometry) { return (root, false) }
        }
        guard let slot, isPlausible(slot, source.geometry) else { return nil }
        return (slot, true)
    }

    private func isPlausible(_ root: Root, _ geometry: Geometry) -> Bool {
        root.logicalBlocks <= Layout.maximumLogicalBlocks
            && Geometry.planned(
                logicalBlocks: root.logicalBlocks, segmentBlocks: geometry.segmentBlocks, sparePerMille: 100) != nil
    }

    /// The last commit of the line that is whole: all of it up to what is known durable, however damaged, and beyond that
    /// only what is there without a hole, as recovery would have it (I6).
    mutating func findEnd(
        _ scan: RecordScan, _ survey: EpochSurvey, _ lineage: Lineage, _ source: SalvageSource,
        _ anchor: AnchorValue?
    ) throws(VolumeError) -> SalvageEnd {
        var end = SalvageEnd()
        var durable = SequenceNumber(0)
        var commits: [(sequence: SequenceNumber, milliseconds: UInt64)] = []
        var done: UInt64 = 0
        try scan.forEachHeader(in: scan.headers) { header throws(VolumeError) in
            done += 1
            progress(.ordering, done, scan.headers.count)
            guard lineage.counts(header.epoch, header.sequence) else { return }
            if !end.seen.insert(header.sequence) { report.ambiguousRecords += 1 }
            end.note(header, source.geometry)
            durable = max(durable, header.durable)
            report.newestRecord = max(report.newestRecord, header.sequence)
            guard header.isCommit else { return }
            commits.append((header.sequence, header.timeMilliseconds))
            // Only the newest can be the last.
            if commits.count > 1 << 17 {
                commits.sort { $0.sequence > $1.sequence }
                commits.removeLast(1 << 16)
            }
        }
        commits.sort { $0.sequence < $1.sequence }
        for root in source.roots where lineage.counts(root.epoch, root.commit.sequence) {
            durable = max(durable, root.commit.sequence)
            if root.commit.sequence > end.commit {
                end.commit = root.commit.sequence
                end.milliseconds = root.timeMilliseconds
            }
            if let anchor, root.commit.tag == anchor.tag || root.anchored?.tag == anchor.tag {
                report.freshness = .anchored
            }
        }
        if let anchor, report.freshness == .anchored { durable = max(durable, anchor.sequence) }
        let whole = try firstDamage(after: durable, end.seen, scan, lineage)
        if let last = commits.last(where: { $0.sequence <= durable || $0.sequence < whole }),
            last.sequence > end.commit
        {
            end.commit = last.sequence
            end.milliseconds = last.milliseconds
        }
        guard end.commit.rawValue > 0 else { throw .corrupt("no commit is left among \(survey.records) records") }
        report.commit = end.commit
        report.commitMilliseconds = end.milliseconds
        if let anchor {
            let isBehind = anchor.sequence > end.commit && anchor.sequence > report.newestRecord
            if isBehind || report.freshness == .anchored && anchor.sequence > end.commit {
                report.freshness = .behind(anchor: anchor.sequence)
            }
        }
        return end
    }

    /// The first sequence after `durable` that is not there or whose data does not verify.
    private func firstDamage(
        after durable: SequenceNumber, _ seen: SequenceSet, _ scan: RecordScan, _ lineage: Lineage
    ) throws(VolumeError) -> SequenceNumber {
        var missing = durable.rawValue + 1
        while seen.contains(SequenceNumber(missing)) { missing += 1 }
        guard missing > durable.rawValue + 1 else { return SequenceNumber(missing) }
        var damaged = SequenceNumber(missing)
        try scan.forEachHeader(in: scan.headers) { header throws(VolumeError) in
            guard lineage.counts(header.epoch, header.sequence), header.sequence > durable,
                header.sequence < damaged
            else { return }
            for slot in 0..<header.dataBlocks where try scan.block(slot, of: header) == nil {
                damaged = header.sequence
                return
            }
        }
        return damaged
    }
}
