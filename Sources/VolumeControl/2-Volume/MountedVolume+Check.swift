import CommandSupport
import EncFS
import Inspection
import SecureBlock
import Synchronization

/// A check of one commit while the volume goes on.
extension MountedVolume {
    /// The snapshot that keeps the commit meanwhile. One that a crash left behind goes with the next check.
    static let checkedName = "fsck in progress"

    func check(readsData: Bool, json: Bool, _ job: ControlJob) throws(CommandFailure) -> ControlResult {
        let report =
            device.isReadOnly
            ? try check(device, readsData: readsData, job)
            : try withSnapshot { view throws(CommandFailure) in try check(view, readsData: readsData, job) }
        return ControlResult(
            json ? report.json.text : report.text(volume: path),
            exitStatus: UInt8(report.hasErrors ? FsckStatus.errorsLeft.rawValue : 0))
    }

    private func check(_ view: SecureDevice, readsData: Bool, _ job: ControlJob) throws(CommandFailure) -> Report {
        let space = SpaceWatch(device)
        var check = Fsck()
        check.readsData = readsData
        check.progress = { job.progress($0, of: $1) }
        do throws(Fsck.Cancelled) {
            return try check.check(view: view, of: device.status, hasFiles: files is EncFS) {
                !job.isCancelled && !space.isShort
            }
        } catch {
            guard space.isShort else { throw CommandFailure(.commandRefused, "the check was cancelled", at: path) }
            throw CommandFailure(
                .volumeFull, "the volume needs the space that the check kept, so it was ended", at: path,
                advice: "Delete something in it, or check it when it is not mounted.")
        }
    }

    private func withSnapshot(
        _ body: (SecureDevice) throws(CommandFailure) -> Report
    ) throws(CommandFailure) -> Report {
        guard let name = SnapshotName(Self.checkedName) else { preconditionFailure("a name as it must be") }
        if device.snapshots.contains(where: { $0.name == name }) {
            try change { device throws(SnapshotError) in try device.deleteSnapshot(name) }
        }
        try change { device throws(SnapshotError) in _ = try device.createSnapshot(name) }
        let outcome: Result<Report, CommandFailure>
        do throws(CommandFailure) { outcome = .success(try look(at: name, body)) } catch {
            outcome = .failure(error)
        }
        try change { device throws(SnapshotError) in try device.deleteSnapshot(name) }
        return try outcome.get()
    }

    private func look(
        at name: SnapshotName, _ body: (SecureDevice) throws(CommandFailure) -> Report
    ) throws(CommandFailure) -> Report {
        let view: SecureDevice
        do throws(VolumeError) { view = try device.openSnapshot(name, pastCache: true) } catch {
            throw CommandFailure(error, volume: path)
        }
        let outcome: Result<Report, CommandFailure>
        do throws(CommandFailure) { outcome = .success(try body(view)) } catch { outcome = .failure(error) }
        do throws(DeviceError) { try view.close() } catch { throw CommandFailure(error, volume: path) }
        return try outcome.get()
    }
}

/// Looks now and then whether the volume runs out of space, and remembers that it did.
private final class SpaceWatch: Sendable {
    private let device: SecureDevice
    private let seen = Mutex((looked: ContinuousClock.Instant?.none, isShort: false))

    init(_ device: SecureDevice) { self.device = device }

    var isShort: Bool {
        guard !device.isReadOnly else { return false }
        let now = ContinuousClock.now
        return seen.withLock { seen in
            if seen.isShort { return true }
            if let looked = seen.looked, now - looked < .milliseconds(100) { return false }
            seen.looked = now
            seen.isShort = device.isShortOfSpace
            return seen.isShort
        }
    }
}
