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
        var report = Report()
        let device = try SecureDevice.open(
            host, credential: credential, anchor: anchor, mode: .readOnly, options: options)
        report.add(opening: device.status)
        checkFileSystem(device, &report)
        do throws(DeviceError) { try device.close() } catch { throw .device(error) }
        return report
    }

    /// The filesystem, and with ``readsData`` the data of its files, so that a damaged block is told by its path.
    private func checkFileSystem(_ device: SecureDevice, _ report: inout Report) {
        var findings: [Report.Finding] = []
        do throws(EncFSError) {
            let summary = try EncFS.check(device, readData: readsData, progress: progress) { finding in
                findings.append(
                    Report.Finding(
                        .filesystem, finding.severity == .error ? .error : .note,
                        at: finding.path ?? finding.inode.map { "inode \($0)" } ?? "",
                        "\(finding.message) [\(finding.kind)]"))
            }
            report.add(
                .init(
                    .filesystem,
                    "\(summary.inodes) inodes, \(summary.directories) of them directories, \(summary.nodes) tree nodes, "
                        + "\(summary.dataBlocks) data blocks\(readsData ? ", all read" : "")"))
        } catch {
            findings.append(.init(.filesystem, .error, "\(error)"))
        }
        for finding in findings { report.add(finding) }
    }
}

extension Report {
    /// What opening the volume already told.
    mutating func add(opening status: DeviceStatus) {
        add(.init(.superblocks, "2 copies"))
        for copy in status.damagedSuperblocks { add(.init(.superblocks, .error, at: "copy \(copy)", "damaged")) }
        add(.init(.keySlots, "\(status.keySlots.count { $0.state != .empty }) in use"))
        for slot in status.keySlots where slot.state == .damaged {
            add(.init(.keySlots, .error, at: "slot \(slot.slot)", "damaged"))
        }
        if let anchor = status.anchor {
            add(.init(.anchor, "\(anchor), commit \(status.anchoredCommit.map { "\($0.rawValue)" } ?? "none yet")"))
        } else {
            let what = status.wasAnchored ? "not given, though the volume has one" : "none"
            add(.init(.anchor, .note, "\(what): an older copy of the whole volume would go unnoticed"))
        }
        add(
            .init(.roots, "2 slots, commits \(status.rootCommits.map { "\($0.rawValue)" }.joined(separator: ", "))")
        )
        for slot in status.damagedRoots { add(.init(.roots, .error, at: "slot \(slot)", "damaged")) }
        add(.init(.chain, "to commit \(status.commit.rawValue)"))
        if status.cutRecords > 0 {
            add(
                .init(
                    .chain, .note,
                    "\(status.cutRecords) records after the last commit do not count (a crash leaves some, a checkpoint too)"
                ))
        }
    }
}
