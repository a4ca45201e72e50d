/// Rebuilds the newest reachable state of a volume from its record headers and fills a new volume with it.
///
/// For when roots, checkpoints or the chain are gone and nothing opens. Only the key must be there: one sound key slot.
/// The order of work: every block of the store is looked at for a header that verifies; the epochs are put in line
/// (``Lineage``); the last commit is found; the newest checkpoint that can be read becomes the base (``SalvageBase``);
/// records after it are applied, a range of the map at a time (``SalvageMap``); each block is read, verified and
/// written. What cannot be proven to be empty or to be there is marked lost and reads as an error in the new volume.
///
/// **Fault model.** The host may show any record that was ever written, in any place it was written for, and hide any.
/// Nothing that does not verify is used, branches are never mixed, and whatever hidden or old records may have changed
/// is said in the report. That the state is the newest one cannot be promised: only an anchor knows.
///
/// **Memory**: ``Options/memoryBytes`` for the map; one bit for each block of the log; 40 bytes for each page of the map
/// that exists, 100 for each older copy of one that is lost, 40 for each long run that a record discards; 8 for each
/// segment, 48 for each checkpoint and a few hundred for each epoch in the log; and 64 MiB at most to tell missing records.
public struct Salvage {
    public struct Options: Sendable {
        /// What the rebuilt part of the map may take; the log's headers are read once for each such part.
        public var memoryBytes = 256 << 20
        /// The segment size, for a volume without superblocks that has too few records to tell.
        public var segmentBytes: Int?
        public init() {}
    }

    /// A part of the work, for progress.
    public enum Phase: String, Sendable { case scanning, ordering, mapping, copying }

    let options: Options
    let progress: (Phase, UInt64, UInt64) -> Void
    var report: SalvageReport

    /// Salvages the volume on `host` into a new one on `target`.
    ///
    /// `target` holds a sound volume on return, durable, closed. `host` is only read and stays open. When this throws,
    /// what is on `target` is of no use.
    /// - Parameters:
    ///   - anchor: to tell whether the state is the newest; never changed.
    ///   - target: empty, as ``SecureDevice/create(on:_:credential:scrypt:anchor:)`` asks.
    ///   - newCredential: what opens the new volume.
    /// - Throws: ``VolumeError`` when there is no key, no record, or no commit; or for failures of `target`.
    public static func run(
        _ host: any BlockHost, credential: Credential, anchor: (any Anchor)? = nil, to target: any BlockHost,
        newCredential: Credential, options: Options = Options(),
        progress: (Phase, UInt64, UInt64) -> Void = { _, _, _ in }
    ) throws(VolumeError) -> SalvageReport {
        try withoutActuallyEscaping(progress) { progress throws(VolumeError) in
            let source = try SalvageSource(host, credential: credential, segmentBytes: options.segmentBytes)
            var salvage = Salvage(
                options: options, progress: progress,
                report: SalvageReport(
                    volume: source.keys.volume, hadSuperblock: source.hasSuperblock,
                    segmentBytes: source.geometry.segmentBytes, logicalBytes: 0, isSizeKnown: false))
            try salvage.run(source, anchor, target, newCredential)
            return salvage.report
        }
    }

    private mutating func run(
        _ source: SalvageSource, _ anchor: (any Anchor)?, _ target: any BlockHost, _ newCredential: Credential
    ) throws(VolumeError) {
        let scan = RecordScan(source)
        var survey = EpochSurvey()
        try scan.run({ progress(.scanning, $0, $1) }) { header throws(VolumeError) in
            survey.add(header, source.geometry)
        }
        survey.finish()
        report.headers = survey.records
        report.epochs = survey.epochs.count
        report.unreadableHostBlocks = scan.unreadableBlocks
        let anchorValue = try anchor?.load(with: source.keys)
        let lineage = try findLine(scan, survey, source, anchorValue)
        let end = try findEnd(scan, survey, lineage, source, anchorValue)
        var geometry = source.geometry
        let chosen = try chooseRoot(scan, survey, lineage, source, end.commit)
        geometry.logicalBlocks = chosen?.root.logicalBlocks ?? end.sizeInBlocks(geometry)
        report.isSizeKnown = chosen != nil
        report.logicalBytes = geometry.logicalBlocks * UInt64(blockBytes)
        let pages = PageKeys(scan, lineage)
        let base = try SalvageBase(
            chosen?.root, isFromSlot: chosen?.isFromSlot ?? false, geometry, pages
        ) { progress(.mapping, $0, $1) }
        report.base = chosen.map { $0.isFromSlot ? .rootSlot(base.commit) : .rootCopy(base.commit) } ?? .none
        report.lostTablePages = base.lostTablePages
        report.lostMapPages = UInt64(base.map.lost.count)
        // Without a root there is nothing that a record could be missing after.
        let gaps = end.seen.gaps(
            from: SequenceNumber(base.commit.rawValue + 1), through: end.commit, limit: 1000)
        if base.root != nil { (report.missingRuns, report.missingRecords) = gaps }
        let map = try SalvageMap(
            scan, survey, lineage, base, geometry, pages, end: end.commit,
            lastMissing: end.seen.lastMissing(through: end.commit), newestGenerations: end.newestGenerations)
        report.lostMapPages += map.lostLeaves
        try fill(target, newCredential, geometry, source.suite, map)
    }

    /// Creates the new volume and copies into it.
    private mutating func fill(
        _ target: any BlockHost, _ credential: Credential, _ geometry: Geometry, _ suite: CipherSuite,
        _ map: SalvageMap
    ) throws(VolumeError) {
        var options = VolumeOptions(logicalBytes: report.logicalBytes)
        options.segmentBytes = geometry.segmentBytes
        options.cipher = suite
        if let spare = map.sparePerMille { options.sparePerMille = Int(spare) }
        try SecureDevice.create(on: target, options, credential: credential)
        let device = try SecureDevice.open(target, credential: credential)
        do throws(VolumeError) {
            let output = SalvageTarget(device)
            try map.copy(memoryBytes: self.options.memoryBytes, to: output, &report) { progress(.copying, $0, $1) }
            try output.finish()
        } catch {
            // What failed first is what the caller has to hear of.
            do throws(DeviceError) { try device.close() } catch { throw .device(error) }
            throw error
        }
        do throws(DeviceError) { try device.close() } catch { throw .device(error) }
    }
}
