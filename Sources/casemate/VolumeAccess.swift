import ArgumentParser
import CommandSupport
import EncFS
import Glibc
import Inspection
import SecureBlock
import VolumeControl

/// A volume as a command names it, and the steps that open it, with every failure turned into one for people.
struct VolumeAccess {
    let path: String
    let source: CredentialSource
    /// `none` was said, or nothing (`nil`): a volume that has an anchor then opens only in the first case.
    let anchorSource: AnchorSource?
    /// Take an unused anchor in the place of the one that the volume had.
    let adoptsAnchor: Bool
    /// How far the anchor may lag; `nil`: as the volume says.
    let anchorWindow: AnchorPolicy?
    /// Give the host back what is free.
    var returnsFreeSpace = false

    init(path: String, _ secrets: SecretArguments) {
        self.path = path
        source = secrets.source()
        anchorSource = secrets.anchor
        adoptsAnchor = secrets.adoptsAnchor
        anchorWindow = secrets.anchorWindow
    }

    /// The path as other processes find it; as given while there is no such file.
    var absolutePath: String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    func credential(twice: Bool = false) throws(CommandFailure) -> Credential {
        var source = source
        if twice, case .prompt = source { source = .prompt(twice: true) }
        if twice, case .tpm(.prompt, let registers) = source {
            source = .tpm(.prompt(twice: true), registers: registers)
        }
        return try source.read(volume: path) { Terminal.note("casemate: warning: \($0)") }
    }

    /// As ``credential(twice:)``; where none is named, and this machine's TPM alone opens a slot, that. Else somebody is asked.
    func credential(on host: FileBlockHost) throws(CommandFailure) -> Credential {
        guard case .prompt = source else { return try credential() }
        let slots: [KeySlot]
        do throws(HostError) { slots = try KeySlot.sound(on: host) } catch {
            throw CommandFailure(error, volume: path)
        }
        if slots.contains(where: { $0.kind == .sealed }) {
            let sealer = try CredentialSource.tpm(.none, registers: []).read(volume: path)
            for slot in slots where slot.kind == .sealed {
                do throws(KeySlotError) {
                    if try slot.unwrap(sealer, volume: slot.volume) != nil { return sealer }
                } catch {
                    guard case .sealer(let number, let error) = error else { continue }
                    Terminal.note("casemate: \(CommandFailure(error, slot: number, volume: path).what)")
                }
            }
        }
        return try credential()
    }

    func anchor() -> (any Anchor)? { anchorSource?.anchor }

    var deviceOptions: DeviceOptions {
        var options = DeviceOptions()
        options.acceptsMissingAnchor = anchorSource == AnchorSource.none || adoptsAnchor
        options.anchorPolicy = anchorWindow
        options.returnsFreeSpace = returnsFreeSpace
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

    /// A volume as it is found: in a file that we may open, or mounted, by a process that we may ask.
    enum Place {
        case file(FileBlockHost)
        case mounted(ControlClient)
    }

    /// Finds the volume: a directory is where one is mounted; a file that is in use may be one that is.
    func find(_ mode: OpenMode) throws(CommandFailure) -> Place {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            return .mounted(try ControlClient(mountpoint: path))
        }
        do throws(HostError) {
            return .file(try openFile(mode))
        } catch {
            if error == .inUse, let client = ControlClient.serving(volume: path) { return .mounted(client) }
            throw CommandFailure(error, volume: path)
        }
    }

    /// Has the process that serves a mount do it, shows what it says, and prints what comes of it.
    func ask(
        _ client: ControlClient, _ request: ControlRequest, _ credentials: [Credential] = [],
        progress: ProgressLine? = nil
    ) throws {
        let result: ControlResult
        do {
            defer { progress?.finish() }
            result = try client.run(
                request, credentials, progress: { progress?.update($0, of: $1) },
                note: { Terminal.note("casemate: warning: \($0)") })
        }
        try Terminal.require(result.text)
        if result.exitStatus != 0 { throw ExitCode(Int32(result.exitStatus)) }
    }

    func openHost(_ mode: OpenMode) throws(CommandFailure) -> FileBlockHost {
        do throws(HostError) { return try openFile(mode) } catch { throw CommandFailure(error, volume: path) }
    }

    /// How long to wait for a file that somebody has open who is not to be asked, and how often to look, in microseconds.
    private static let patience: (whole: UInt32, step: UInt32) = (2_000_000, 50_000)

    /// Opens the volume's file. One whose process was killed a moment ago stays locked until the kernel has ended what that
    /// process had under way.
    private func openFile(_ mode: OpenMode) throws(HostError) -> FileBlockHost {
        var waited: UInt32 = 0
        while true {
            do throws(HostError) {
                return try FileBlockHost.open(path: path, FileHostOptions(readOnly: mode != .readWrite))
            } catch {
                guard error == .inUse, waited < Self.patience.whole, ControlClient.serving(volume: path) == nil
                else { throw error }
            }
            usleep(Self.patience.step)
            waited += Self.patience.step
        }
    }

    /// Writes an empty volume, with an empty filesystem for `owner` if there is one; durable on return.
    func create(
        on host: FileBlockHost, _ options: VolumeOptions, _ credential: Credential, scrypt: ScryptCost,
        owner: (user: UInt32, group: UInt32)?
    ) throws(CommandFailure) {
        let anchor = anchor()
        do throws(VolumeError) {
            try SecureDevice.create(on: host, options, credential: credential, scrypt: scrypt, anchor: anchor)
        } catch {
            // A new device has room for everything it promised; only the host can be short. So below.
            let isHostFull = error == .device(.noSpace)
            throw isHostFull ? CommandFailure(HostError.noSpace, volume: path) : CommandFailure(error, volume: path)
        }
        guard let owner else { return host.close() }
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
            return try open(host, mode, credential(on: host))
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
        try Whereabouts(of: file, in: try openFileSystem(device), on: device, volume: path)
    }

    func close(_ device: SecureDevice) throws(CommandFailure) {
        do throws(DeviceError) {
            try device.close()
        } catch {
            throw CommandFailure(error, volume: path)
        }
    }
}
