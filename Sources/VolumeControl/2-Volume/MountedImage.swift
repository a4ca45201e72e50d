import CommandSupport
import Inspection
import SecureBlock

/// An image that a mount serves, answering for itself: it can be looked at and checked.
package final class MountedImage: ControlService {
    private let path: String
    private let device: ImageDevice
    private let host: any BlockHost

    package init(path: String, device: ImageDevice, host: any BlockHost) {
        self.path = path
        self.device = device
        self.host = host
    }

    package func perform(
        _ request: ControlRequest, _ credentials: [Credential], _ job: ControlJob
    ) throws(CommandFailure) -> ControlResult {
        switch request {
        case .info(let json):
            let storeBytes: UInt64
            do throws(HostError) { storeBytes = try host.byteCount() } catch {
                throw CommandFailure(error, volume: path)
            }
            for warning in ImageSummary.exposure(of: device) { job.note(warning) }
            let summary = ImageSummary(device, storeBytes: storeBytes)
            return ControlResult(json ? summary.json.text : summary.text(image: path))
        case .check(_, let json): return try check(json: json, job)
        default:
            throw CommandFailure(
                .commandRefused, "an image is read-only and has no keys, snapshots or places in a log", at: path)
        }
    }

    private func check(json: Bool, _ job: ControlJob) throws(CommandFailure) -> ControlResult {
        var check = Fsck()
        check.progress = { job.progress($0, of: $1) }
        do throws(Fsck.Cancelled) {
            let report = try check.check(image: device) { !job.isCancelled }
            return ControlResult(
                json ? report.json.text : report.text(volume: path),
                exitStatus: UInt8(report.hasErrors ? FsckStatus.errorsLeft.rawValue : 0))
        } catch { throw CommandFailure(.commandRefused, "the check was cancelled", at: path) }
    }
}
