import BlockFS
import CommandSupport
import EncFS
import FUSEFront
import Glibc
import Inspection
import Logging
import SecureBlock
import VFS

/// A volume that a mount serves, answering for itself: the same words as the commands on a volume's file.
package final class MountedVolume: ControlService {
    /// How messages name it.
    let path: String
    let device: SecureDevice
    let host: any BlockHost
    /// The device's client, who alone commits.
    let files: any FileSystem
    private let snapshotMounts: SnapshotMounts

    /// - Parameter logger: hears what goes wrong in mounts of snapshots.
    package init(
        path: String, device: SecureDevice, host: any BlockHost, files: any FileSystem, logger: Logger
    ) {
        self.path = path
        self.device = device
        self.host = host
        self.files = files
        snapshotMounts = SnapshotMounts(volume: path, logger: logger)
    }

    package func end() { snapshotMounts.end() }

    package func perform(
        _ request: ControlRequest, _ credentials: [Credential], _ job: ControlJob
    ) throws(CommandFailure) -> ControlResult {
        switch request {
        case .info(let json): return ControlResult(try info(json: json, job))
        case .whereabouts(let file, let json): return ControlResult(try whereabouts(of: file, json: json))
        case .keysList: return ControlResult(device.status.keySlotText)
        case .keysAdd:
            let (_, new) = try proven(credentials, isNewGiven: true)
            guard let new else { throw Self.secretsMissing }
            return ControlResult(try editor.add(new))
        case .keysRemove(let slot):
            _ = try proven(credentials, isNewGiven: false)
            return ControlResult(try editor.remove(slot))
        case .keysChange:
            let (old, new) = try proven(credentials, isNewGiven: true)
            guard let new else { throw Self.secretsMissing }
            return ControlResult(try editor.replace(old, by: new))
        case .keysRotate(let dropsOthers, let unlockMilliseconds):
            guard let first = credentials.first else { throw Self.secretsMissing }
            _ = try editor.slot(openedBy: first)
            var rotation = KeyRotation()
            rotation.dropsOthers = dropsOthers
            rotation.unlockMilliseconds = unlockMilliseconds
            rotation.quiesce = { [self] body throws(CommandFailure) in try quiesce(body) }
            rotation.progress = { job.progress($0, of: $1) }
            rotation.isCancelled = { job.isCancelled }
            return ControlResult(try rotation.run(device, volume: path, for: credentials))
        case .check(let readsData, let json): return try check(readsData: readsData, json: json, job)
        case .snapshotCreate(let name): return ControlResult(try createSnapshot(name))
        case .snapshotDelete(let name): return ControlResult(try deleteSnapshot(name))
        case .snapshotMount(let name, let directory, let options):
            return ControlResult(try mountSnapshot(name, at: directory, options))
        case .resize(let bytes): return ControlResult(try resize(toBytes: bytes, job))
        case .snapshotList(let json): return ControlResult(listSnapshots(json: json))
        }
    }

    private func info(json: Bool, _ job: ControlJob) throws(CommandFailure) -> String {
        let storeBytes: UInt64
        do throws(HostError) { storeBytes = try host.byteCount() } catch {
            throw CommandFailure(error, volume: path)
        }
        let summary = VolumeSummary(device.status, storeBytes: storeBytes)
        for warning in summary.warnings { job.note(warning) }
        return json ? summary.json.text : summary.text(volume: path)
    }

    private func mountSnapshot(
        _ text: String, at directory: String, _ options: String
    ) throws(CommandFailure) -> String {
        let name = try Self.name(text)
        guard files is EncFS else { throw noFiles }
        var parsed = FUSEOptions()
        do throws(FUSEError) { try parsed.apply(list: options) } catch {
            throw CommandFailure(error, mountpoint: directory)
        }
        let view: SecureDevice
        do throws(VolumeError) { view = try device.openSnapshot(name) } catch {
            throw CommandFailure(error, volume: path)
        }
        try snapshotMounts.add(view, named: name, host: host, at: directory, parsed)
        return
            "\(path): snapshot \"\(name)\" is mounted on \(directory) by process \(getpid()), which serves the volume"
    }

    private var noFiles: CommandFailure {
        CommandFailure(.commandRefused, "there is no filesystem on it that we know", at: path)
    }

    private func whereabouts(of file: String, json: Bool) throws(CommandFailure) -> String {
        guard let files = files as? EncFS else { throw noFiles }
        // Blocks have a place in the log once they are in a record; a commit puts them there.
        try commit()
        let found = try Whereabouts(of: file, in: files, on: device, volume: path)
        return json ? found.json.text : found.text
    }

    private func resize(toBytes bytes: UInt64, _ job: ControlJob) throws(CommandFailure) -> String {
        if device.isReadOnly { throw CommandFailure(DeviceError.readOnly, volume: path) }
        guard files is EncFS || files is BlockFS else { throw noFiles }
        let resizer = VolumeResizer(device, files as? EncFS, volume: path) { [self] body throws(CommandFailure) in
            try quiesce(body)
        }
        let said = try resizer.resize(toBytes: bytes) { job.progress($0, of: $1) }
        (files as? BlockFS)?.sizeChanged()
        return "\(path): \(said)"
    }

    // MARK: keys

    private static let secretsMissing = CommandFailure(.commandRefused, "a secret is missing")

    private var editor: KeySlotEditor {
        KeySlotEditor(device, volume: path) { [self] body throws(CommandFailure) in try quiesce(body) }
    }

    /// Whoever owns the mount may ask; who wants to change what opens the volume also has to know what opens it now, so
    /// that an unattended terminal gives nobody lasting access.
    private func proven(
        _ credentials: [Credential], isNewGiven: Bool
    ) throws(CommandFailure) -> (slot: Int, new: Credential?) {
        guard credentials.count == (isNewGiven ? 2 : 1) else { throw Self.secretsMissing }
        let slot = try editor.slot(openedBy: credentials[0])
        return (slot, isNewGiven ? credentials[1] : nil)
    }

    // MARK: the client

    /// Has the client commit everything, durable on return.
    func commit() throws(CommandFailure) {
        guard !device.isReadOnly else { return }
        do throws(VFSError) { try files.commit(nil, dataOnly: false).wait() } catch { throw failure(error) }
    }

    /// Has the client commit everything, and runs `body` while that is all there is.
    func quiesce(_ body: () -> Void) throws(CommandFailure) {
        if device.isReadOnly { throw CommandFailure(DeviceError.readOnly, volume: path) }
        do throws(VFSError) {
            switch files {
            case let files as EncFS: try files.quiesced(body)
            case let disk as BlockFS: try disk.quiesced(body)
            default: body()
            }
        } catch { throw failure(error) }
    }

    private func failure(_ error: VFSError) -> CommandFailure {
        CommandFailure(
            .hostFailed, "the volume could not be committed: \(error)", at: path,
            advice: "What was synced before is safe. Mend the cause, unmount and mount again.")
    }
}
