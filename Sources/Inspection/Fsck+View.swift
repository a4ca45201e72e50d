import EncFS
public import SecureBlock

extension Fsck {
    /// Nobody wanted the rest.
    public struct Cancelled: Error, Sendable {}

    /// Checks one commit of a volume that is in use, through a view of it that nobody changes: every page of the map, with
    /// ``readsData`` every block of data, and the filesystem. What only a volume at rest shows (the chain after the last
    /// checkpoint, the headers against the segment table) is for a check of the file.
    /// - Parameters:
    ///   - view: a device for reading; stays open.
    ///   - live: the status of the volume in use.
    ///   - hasFiles: whether a filesystem of ours is on it.
    ///   - isWanted: asked now and then, from this thread; `false` ends the check.
    public func check(
        view: SecureDevice, of live: DeviceStatus, hasFiles: Bool, isWanted: @escaping @Sendable () -> Bool
    ) throws(Cancelled) -> Report {
        var report = Report()
        report.add(facts: live)
        report.add(.init(.chain, "commit \(view.status.commit.rawValue), while the volume is in use"))
        try checkBlocks(view, &report, isWanted)
        if hasFiles {
            let seeksDamage = report.findings.contains { $0.part == .data }
            checkFileSystem(WatchedDevice(view, isWanted: isWanted), seeksDamage: seeksDamage, &report)
        } else {
            report.add(.init(.filesystem, Report.noFileSystem))
        }
        guard isWanted() else { throw Cancelled() }
        return report
    }

    /// Blocks looked at between two questions whether to go on.
    private static let stride: UInt64 = 64

    private func checkBlocks(
        _ view: SecureDevice, _ report: inout Report, _ isWanted: () -> Bool
    ) throws(Cancelled) {
        let buffer = AlignedBuffer(byteCount: Int(Self.stride) * blockBytes)
        var mapped: UInt64 = 0
        var verified: UInt64 = 0
        var start: UInt64 = 0
        while start < view.logicalBlockCount {
            guard isWanted() else { throw Cancelled() }
            let blocks = start..<min(start + Self.stride, view.logicalBlockCount)
            var stored: [UInt64] = []
            do throws(DeviceError) {
                for block in blocks where try view.physicalLocation(of: LogicalBlock(block)) != nil {
                    stored.append(block)
                }
            } catch {
                report.add(.init(.map, .error, at: "\(LogicalBlock(start))", "\(error) [map-page]"))
            }
            mapped += UInt64(stored.count)
            if readsData, !stored.isEmpty {
                verified += read(blocks, stored, view, buffer, &report)
            }
            progress(blocks.upperBound, view.logicalBlockCount)
            start = blocks.upperBound
        }
        report.add(.init(.map, "\(mapped) blocks"))
        if readsData { report.add(.init(.data, "\(verified) of \(mapped) blocks verified")) }
    }

    /// All at once, and one by one where that fails.
    private func read(
        _ blocks: Range<UInt64>, _ stored: [UInt64], _ view: SecureDevice, _ buffer: AlignedBuffer,
        _ report: inout Report
    ) -> UInt64 {
        do throws(DeviceError) {
            try view.read(LogicalBlock(blocks.lowerBound), into: buffer.slice(0, blocks.count * blockBytes))
            return UInt64(stored.count)
        } catch {
            var verified: UInt64 = 0
            for block in stored {
                do throws(DeviceError) {
                    try view.read(LogicalBlock(block), into: buffer.slice(0, blockBytes))
                    verified += 1
                } catch { report.add(.init(.data, .error, at: "\(LogicalBlock(block))", "\(error) [data]")) }
            }
            return verified
        }
    }
}

extension Report {
    /// What the process that uses the volume knows of it.
    fileprivate mutating func add(facts status: DeviceStatus) {
        add(.init(.superblocks, "2 copies, as found when it was opened"))
        for copy in status.damagedSuperblocks {
            add(.init(.superblocks, .warning, "superblock copy \(copy) does not verify [superblock-damaged]"))
        }
        add(.init(.keySlots, "\(status.keySlots.count { $0.state != .empty }) in use"))
        for slot in status.keySlots where slot.state == .damaged {
            add(.init(.keySlots, .warning, "key slot \(slot.slot) is damaged [key-slot-damaged]"))
        }
        add(.init(.anchor, status.anchor ?? "none"))
        if status.anchor == nil {
            add(.init(.anchor, .note, "without an anchor an older copy of the volume passes unseen [no-anchor]"))
        }
        add(.init(.roots, "commits \(status.rootCommits.map { "\($0.rawValue)" }.joined(separator: " and "))"))
        for slot in status.damagedRoots {
            add(.init(.roots, .note, "root slot \(slot) did not verify when the volume was opened [root-damaged]"))
        }
    }
}
