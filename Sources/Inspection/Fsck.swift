import EncFS
public import SecureBlock

/// Checks a whole volume, from the outside in, and never writes: what `casemate fsck` runs.
public struct Fsck {
    /// Also read every block of data.
    public var readsData = false
    /// Blocks done and blocks to do, of the part being checked.
    public var progress: (UInt64, UInt64) -> Void = { _, _ in }
    public init() {}

    /// Checks the volume on `host`, which is closed on return.
    /// - Throws: ``VolumeError`` when the check could not be made at all: no volume, no key, no root to start from,
    ///   a rollback.
    public func check(
        _ host: any BlockHost, credential: Credential, anchor: (any Anchor)?,
        options: DeviceOptions = DeviceOptions()
    ) throws(VolumeError) -> Report {
        defer { host.close() }
        return try examine(LentHost(host), credential, anchor, options).report
    }

    /// As ``check(_:credential:anchor:options:)``, with the device's findings as it made them. `host` stays open.
    func examine(
        _ host: LentHost, _ credential: Credential, _ anchor: (any Anchor)?, _ options: DeviceOptions
    ) throws(VolumeError) -> (report: Report, findings: [VolumeFinding]) {
        let collected = CollectedFindings()
        var checkOptions = VolumeCheck.Options()
        checkOptions.readsData = readsData
        checkOptions.acceptsMissingAnchor = options.acceptsMissingAnchor
        let summary = try VolumeCheck.run(
            host, credential: credential, anchor: anchor, options: checkOptions, progress: progress,
            report: { collected.add($0) })
        var report = collected.report
        let device = try SecureDevice.open(
            host, credential: credential, anchor: anchor, mode: .readOnly, options: options)
        report.add(device.status, summary, readsData: readsData)
        for finding in try surplus(of: host, behind: device.status) { report.add(finding) }
        checkFileSystem(device, seeksDamage: summary.lostBlocks > 0, &report)
        do throws(DeviceError) { try device.close() } catch { throw .device(error) }
        return (report, collected.findings)
    }

    /// A file that grew, or a device larger than its volume: harmless, as nothing there is ever read.
    private func surplus(of host: any BlockHost, behind status: DeviceStatus) throws(VolumeError) -> [Report
        .Finding]
    {
        let size: UInt64
        do throws(HostError) { size = try host.byteCount() } catch { throw .host(error) }
        guard size > status.volumeBytes else { return [] }
        return [
            Report.Finding(
                .superblocks, .note,
                "\(size - status.volumeBytes) bytes behind the volume's end are no part of it [grown]")
        ]
    }

    /// The filesystem; its data only where the device found damage, so that it is told by path.
    func checkFileSystem(_ device: any BlockDevice, seeksDamage: Bool, _ report: inout Report) {
        let seeksDamage = seeksDamage || report.findings.contains { $0.part == .data }
        var findings: [Report.Finding] = []
        do throws(EncFSError) {
            let summary = try EncFS.check(device, readData: seeksDamage, progress: progress) {
                findings.append(.init($0))
            }
            report.add(
                .init(
                    .filesystem,
                    "\(summary.inodes) inodes, \(summary.directories) of them directories, \(summary.nodes) tree nodes, "
                        + "\(summary.dataBlocks) data blocks"))
        } catch {
            // A disk for another filesystem, or for none yet.
            if error == .notFormatted {
                report.add(.init(.filesystem, Report.noFileSystem))
            } else {
                findings.append(.init(.filesystem, .error, "\(error)"))
            }
        }
        for finding in findings { report.add(finding) }
    }
}

/// One of the filesystem check; the device and the report have findings of their own.
private typealias FileSystemFinding = Finding

/// What an escaping closure collects.
private final class CollectedFindings {
    var report = Report()
    /// As many as the report keeps.
    var findings: [VolumeFinding] = []

    func add(_ finding: VolumeFinding) {
        report.add(Report.Finding(finding))
        if findings.count < Report.findingLimit { findings.append(finding) }
    }
}

extension Report.Finding {
    init(_ finding: VolumeFinding) {
        let part: Report.Part =
            switch finding.kind {
            case "superblock-damaged": .superblocks
            case "key-slot-damaged", "key-slot-replaced", "key-slot-unbound": .keySlots
            case "root-damaged", "older-root-stranded": .roots
            case "no-anchor", "anchor-not-given": .anchor
            case "cut-records": .chain
            case "snapshot", "pins", "live-count", "segment-damaged", "segment-epoch": .segments
            case "data", "host-read", "lost-blocks": .data
            default: .map
            }
        let severity: Report.Severity =
            switch finding.severity {
            case .note: .note
            case .warning: .warning
            case .error: .error
            }
        self.init(part, severity, "\(finding.message) [\(finding.kind)]")
    }

    fileprivate init(_ finding: FileSystemFinding) {
        self.init(
            .filesystem, finding.severity == .error ? .error : .note,
            at: finding.path ?? finding.inode.map { "inode \($0)" } ?? "", "\(finding.message) [\(finding.kind)]")
    }
}

extension Report {
    static let noFileSystem = "none of ours"

    /// What was looked at.
    mutating func add(_ status: DeviceStatus, _ summary: VolumeCheckSummary, readsData: Bool) {
        add(.init(.superblocks, "2 copies"))
        add(.init(.keySlots, "\(status.keySlots.count { $0.state != .empty }) in use"))
        if let anchor = status.anchor {
            add(
                .init(
                    .anchor,
                    "\(anchor), noted by the root at commit \(status.anchoredCommit.map { "\($0.rawValue)" } ?? "none yet")"
                )
            )
        } else {
            add(.init(.anchor, "none"))
        }
        add(
            .init(
                .roots, "2 slots, commits \(status.rootCommits.map { "\($0.rawValue)" }.joined(separator: " and "))"
            ))
        add(
            .init(
                .chain,
                "\(summary.recordsOnChain) records to commit \(summary.commit.rawValue), commits since "
                    + "\(status.historyHorizon.rawValue) are whole"))
        add(.init(.map, "\(summary.mappedBlocks) blocks against \(summary.headersVerified) record headers"))
        let snapshots = status.snapshots.count
        add(
            .init(
                .segments,
                "\(summary.segmentsInUse) of \(status.segmentCount) in use, \(snapshots) snapshot\(snapshots == 1 ? "" : "s"), "
                    + "\(status.epochCount) epochs"))
        if readsData {
            add(.init(.data, "\(summary.dataVerified) of \(summary.mappedBlocks) blocks verified"))
        }
    }
}
