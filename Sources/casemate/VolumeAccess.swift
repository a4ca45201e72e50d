import CommandSupport
import EncFS
import Inspection
import SecureBlock

/// A volume as a command names it, and the steps that open it, with every failure turned into one for people.
struct VolumeAccess {
    let path: String
    let source: CredentialSource
    /// `none` was said, or nothing (`nil`): a volume that has an anchor then opens only in the first case.
    let anchorSource: AnchorSource?
    /// How far the anchor may lag; `nil`: as the volume says.
    let anchorWindow: AnchorPolicy?

    init(path: String, _ secrets: SecretArguments) {
        self.path = path
        source = secrets.source()
        anchorSource = secrets.anchor
        anchorWindow = secrets.anchorWindow
    }

    func credential(twice: Bool = false) throws(CommandFailure) -> Credential {
        var source = source
        if twice, case .prompt = source { source = .prompt(twice: true) }
        return try source.read(volume: path) { Terminal.note("casemate: warning: \($0)") }
    }

    func anchor() -> (any Anchor)? {
        switch anchorSource {
        case .file(let path): FileAnchor(path: path)
        case .none?, nil: nil
        }
    }

    var deviceOptions: DeviceOptions {
        var options = DeviceOptions()
        options.acceptsMissingAnchor = anchorSource == AnchorSource.none
        options.anchorPolicy = anchorWindow
        return options
    }

    /// An empty file or device to make a volume on.
    func makeHost() throws(CommandFailure) -> FileBlockHost {
        do {
            return try FileBlockHost.create(path: path)
        } catch {
            throw CommandFailure(error, volume: path)
        }
    }

    func openHost(_ mode: OpenMode) throws(CommandFailure) -> FileBlockHost {
        do {
            return try FileBlockHost.open(path: path, FileHostOptions(readOnly: mode != .readWrite))
        } catch {
            throw CommandFailure(error, volume: path)
        }
    }

    /// Writes an empty volume with an empty filesystem for `owner`; durable on return.
    func create(
        on host: FileBlockHost, _ options: VolumeOptions, _ credential: Credential,
        owner: (user: UInt32, group: UInt32)
    ) throws(CommandFailure) {
        let anchor = anchor()
        do throws(VolumeError) {
            try SecureDevice.create(on: host, options, credential: credential, anchor: anchor)
        } catch {
            // A new device has room for everything it promised; only the host can be short. So below.
            let isHostFull = error == .device(.noSpace)
            throw isHostFull ? CommandFailure(HostError.noSpace, volume: path) : CommandFailure(error, volume: path)
        }
        let device = try open(host, .readWrite, credential)
        var format = EncFS.FormatOptions()
        format.rootOwner = owner.user
        format.rootGroup = owner.group
        do throws(EncFSError) {
            try EncFS.format(device, format)
        } catch {
            throw error == .noSpace
                ? CommandFailure(HostError.noSpace, volume: path) : CommandFailure(error, volume: path)
        }
        try close(device)
    }

    /// Opens the volume; asks for the passphrase only once its file is known to be there and free.
    func openDevice(_ mode: OpenMode) throws(CommandFailure) -> SecureDevice {
        try openDevice(mode, on: openHost(mode))
    }

    /// As ``openDevice(_:)``, on a host just opened, which is closed if this fails.
    func openDevice(_ mode: OpenMode, on host: FileBlockHost) throws(CommandFailure) -> SecureDevice {
        do throws(CommandFailure) {
            return try open(host, mode, credential())
        } catch {
            host.close()
            throw error
        }
    }

    func open(
        _ host: FileBlockHost, _ mode: OpenMode, _ credential: Credential
    ) throws(CommandFailure) -> SecureDevice {
        do throws(VolumeError) {
            return try SecureDevice.open(
                host, credential: credential, anchor: anchor(), mode: mode, options: deviceOptions)
        } catch {
            throw CommandFailure(error, volume: path)
        }
    }

    /// The filesystem on a device that was opened for reading.
    func openFileSystem(_ device: SecureDevice) throws(CommandFailure) -> EncFS {
        var options = EncFS.MountOptions()
        options.readOnly = true
        do throws(EncFSError) {
            return try EncFS(mounting: device, options)
        } catch {
            throw CommandFailure(error, volume: path)
        }
    }

    func whereabouts(of file: String, on device: SecureDevice) throws(CommandFailure) -> Whereabouts {
        let files = try openFileSystem(device)
        do throws(Whereabouts.Failure) {
            return try Whereabouts(of: file, in: files, on: device)
        } catch {
            switch error {
            case .device(let error): throw CommandFailure(error, volume: path)
            case .filesystem(let error):
                throw CommandFailure(
                    .fileMissing, "\(file): \(error)", at: path, advice: "PATH is given from the volume's root.")
            }
        }
    }

    func close(_ device: SecureDevice) throws(CommandFailure) {
        do throws(DeviceError) {
            try device.close()
        } catch {
            throw CommandFailure(error, volume: path)
        }
    }
}
