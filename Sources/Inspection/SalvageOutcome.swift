public import EncFS
public import SecureBlock

/// A salvage, and what the filesystem in the new volume says of it: paths and byte ranges.
public struct SalvageOutcome: Sendable {
    public var report: SalvageReport
    /// There is a filesystem of ours in the new volume, or what is left of one.
    public var hasFileSystem = true
    /// What the filesystem's check found in the new volume.
    public var findings: [Finding] = []
    /// Why the filesystem could not be checked, when it could not.
    public var fileSystemFailure: String?

    /// Nothing was lost, and nothing is in doubt but whether this is the newest state.
    public var isWhole: Bool {
        report.isWhole && fileSystemFailure == nil && !findings.contains { $0.severity == .error }
    }

    /// Checks the filesystem in the new volume. `host` is closed on return.
    public init(
        _ report: SalvageReport, in host: any BlockHost, credential: Credential, progress: (UInt64, UInt64) -> Void
    ) throws(VolumeError) {
        self.report = report
        let device = try SecureDevice.open(host, credential: credential, mode: .readOnly)
        var findings: [Finding] = []
        do throws(EncFSError) {
            _ = try EncFS.check(
                device, readData: report.lostBlocks > 0, suspects: report.doubtful, progress: progress
            ) { findings.append($0) }
        } catch {
            if error == .notFormatted { hasFileSystem = false } else { fileSystemFailure = "\(error)" }
        }
        self.findings = findings
        do throws(DeviceError) { try device.close() } catch { throw .device(error) }
    }

    private var freshness: String {
        switch report.freshness {
        case .unknown: "NOT KNOWN: without an anchor this may be an older state than the last one"
        case .anchored: "the anchor's commit is part of it"
        case .behind(let anchor): "OLDER THAN THE ANCHOR, which names commit \(anchor.rawValue)"
        case .notFound(let anchor):
            "NOT CONFIRMED: the anchor's commit \(anchor.rawValue) was not found on this line"
        }
    }

    private var base: String {
        switch report.base {
        case .rootSlot(let commit): "the root of commit \(commit.rawValue), from its slot"
        case .rootCopy(let commit): "the root of commit \(commit.rawValue), from its copy in the log"
        case .none: "no root: pages and records alone"
        }
    }

    /// Lines of each kind that the text shows; the JSON has all that were kept.
    private static let shownLines = 200

    public func text(volume: String, output: String) -> String {
        var lines = [
            "\(volume): salvaged commit \(report.commit.rawValue) of "
                + "\(UTCTime(milliseconds: report.commitMilliseconds).text) into \(output)",
            "  freshness    \(freshness)",
            "  records      \(report.headers) headers of \(report.epochs) epochs, newest \(report.newestRecord.rawValue)",
            "  map from     \(base)",
            "  blocks       \(report.recoveredBlocks) brought back, \(report.lostBlocks) lost, "
                + "\(report.doubtfulBlocks) in doubt",
        ]
        func add(_ isTrue: Bool, _ line: String) { if isTrue { lines.append("  WARNING: \(line)") } }
        add(!report.isSizeKnown, "no root tells the size; it was taken from what was found")
        add(report.isLineInferred, "how two epochs follow one another is a guess")
        add(
            report.missingRecords > 0,
            "\(report.missingRecords) records since that root are missing; each may have changed up to 165 blocks, "
                + "which are then older than they should be")
        add(report.ambiguousRecords > 0, "\(report.ambiguousRecords) sequences are claimed by two records")
        add(report.lostMapPages > 0, "\(report.lostMapPages) pages of the map are lost")
        add(report.lostTablePages > 0, "\(report.lostTablePages) pages of the segment table are lost")
        add(report.unreadableHostBlocks > 0, "the host did not give \(report.unreadableHostBlocks) blocks")
        for branch in report.branches {
            add(
                true,
                "another branch was left out: \(branch.records) records, \(branch.first.rawValue) to "
                    + "\(branch.last.rawValue), last written \(UTCTime(milliseconds: branch.lastMilliseconds).text)"
            )
        }
        if !hasFileSystem { lines.append("  filesystem   \(Report.noFileSystem)") }
        if let fileSystemFailure { lines.append("  filesystem   BEYOND USE: \(fileSystemFailure)") }
        lines += findings.prefix(Self.shownLines).map { "  \($0)" }
        if findings.count > Self.shownLines {
            lines.append("  and \(findings.count - Self.shownLines) findings more")
        }
        if !hasFileSystem || fileSystemFailure != nil {
            lines += report.lost.prefix(Self.shownLines).map {
                "  lost: blocks \($0.first.rawValue)..<\($0.first.rawValue + $0.count) (\($0.reason.rawValue))"
            }
        }
        lines.append(isWhole ? "nothing was lost" : "SOMETHING WAS LOST: what is marked lost reads as an error")
        return lines.joined(separator: "\n")
    }

    public var json: JSON {
        [
            "whole": .bool(isWhole),
            "commit": .number(report.commit.rawValue),
            "commitMilliseconds": .number(report.commitMilliseconds),
            "newestRecord": .number(report.newestRecord.rawValue),
            "freshness": .string(freshness),
            "base": .string(base),
            "headers": .number(report.headers),
            "epochs": .number(UInt64(report.epochs)),
            "recoveredBlocks": .number(report.recoveredBlocks),
            "lostBlocks": .number(report.lostBlocks),
            "doubtfulBlocks": .number(report.doubtfulBlocks),
            "missingRecords": .number(report.missingRecords),
            "ambiguousRecords": .number(report.ambiguousRecords),
            "lostMapPages": .number(report.lostMapPages),
            "lostTablePages": .number(report.lostTablePages),
            "unreadableHostBlocks": .number(report.unreadableHostBlocks),
            "isSizeKnown": .bool(report.isSizeKnown),
            "isLineInferred": .bool(report.isLineInferred),
            "branches": .array(
                report.branches.map {
                    [
                        "records": .number($0.records), "first": .number($0.first.rawValue),
                        "last": .number($0.last.rawValue),
                    ]
                }),
            "lost": .array(
                report.lost.map {
                    [
                        "first": .number($0.first.rawValue), "count": .number($0.count),
                        "reason": .string($0.reason.rawValue),
                    ]
                }),
            "doubtful": .array(
                report.doubtful.map { ["first": .number($0.lowerBound), "count": .number(UInt64($0.count))] }),
            "filesystem": .array(
                findings.map {
                    [
                        "severity": .string($0.severity.rawValue), "kind": .string($0.kind),
                        "path": $0.path.map { .string($0) } ?? .null,
                        "inode": $0.inode.map { .number($0) } ?? .null, "what": .string($0.message),
                    ]
                }),
            "hasFilesystem": .bool(hasFileSystem),
            "filesystemFailure": fileSystemFailure.map { .string($0) } ?? .null,
        ]
    }
}
