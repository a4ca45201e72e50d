import EncFS
public import SecureBlock

extension Fsck {
    /// Checks an image: every block and every page of hashes, then the filesystem in it. `image` stays open.
    /// - Parameter isWanted: asked now and then, from this thread; `false` ends the check.
    public func check(
        image: ImageDevice, isWanted: @escaping @Sendable () -> Bool = { true }
    ) throws(Cancelled) -> Report {
        var report = Report()
        for warning in ImageSummary.exposure(of: image) {
            report.add(.init(.image, .note, "\(warning) [unpinned]"))
        }
        var isDamaged = false
        let verified: UInt64
        do throws(DeviceError) {
            verified = try image.check(isWanted: isWanted, progress: progress) {
                isDamaged = true
                report.add(.init($0))
            }
        } catch {
            verified = 0
            report.add(.init(.image, .error, "\(error)"))
        }
        guard isWanted() else { throw Cancelled() }
        report.add(.init(.image, "root hash \(image.rootHash)"))
        report.add(.init(.data, "\(verified) of \(image.logicalBlockCount) blocks verified"))
        checkFileSystem(WatchedDevice(image, isWanted: isWanted), seeksDamage: isDamaged, &report)
        guard isWanted() else { throw Cancelled() }
        return report
    }
}

extension Report.Finding {
    fileprivate init(_ finding: ImageFinding) {
        let what: String
        if case .host(let error) = finding.reason {
            what = "cannot be read: \(error) [host-read]"
        } else {
            what = "does not verify [hash]"
        }
        if finding.level == 0 {
            self.init(.data, .error, at: "block \(finding.number)", what)
        } else {
            self.init(
                .image, .error, at: "page \(finding.number) of hashes on level \(finding.level)",
                "\(what); with it blocks \(finding.blocks.lowerBound) to \(finding.blocks.upperBound - 1)")
        }
    }
}
