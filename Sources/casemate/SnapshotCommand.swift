import ArgumentParser
import CommandSupport
import Inspection
import SecureBlock
import VolumeControl

struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot", abstract: "Keep a volume's present state under a name.",
        discussion: """
            A snapshot is made at once and copies nothing. From then on what is overwritten or deleted keeps its space, until the \
            snapshot is deleted. VOLUME may also be the directory where the volume is mounted: programs go on meanwhile.

              casemate snapshot create secrets.volume "before the upgrade"
              casemate mount secrets.volume ~/then --snapshot "before the upgrade"
              casemate snapshot delete secrets.volume "before the upgrade"
            """,
        subcommands: [SnapshotCreate.self, SnapshotListing.self, SnapshotDelete.self])
}

extension SnapshotName: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

struct SnapshotCreate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Keep the present state under a name.")

    @Argument(help: "The volume's file or block device, or where it is mounted.", completion: .file())
    var volume: String
    @Argument(help: "1 to 64 bytes, without slashes and control characters, not beginning with a dot or hyphen.")
    var name: SnapshotName
    @OptionGroup var secrets: SecretArguments

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        try access.change(.snapshotCreate(name: "\(name)")) { device throws(CommandFailure) in
            do throws(SnapshotError) {
                let snapshot = try device.createSnapshot(name)
                return "snapshot \"\(name)\" keeps commit \(snapshot.commit.rawValue)"
            } catch { throw CommandFailure(error, volume: volume) }
        }
    }
}

struct SnapshotListing: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show a volume's snapshots. Changes nothing.")

    @Argument(help: "The volume's file or block device, or where it is mounted.", completion: .file())
    var volume: String
    @OptionGroup var secrets: SecretArguments
    @Flag(help: "Print the list as JSON.")
    var json = false

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        let host: FileBlockHost
        switch try access.find(.readOnly) {
        case .file(let found): host = found
        case .mounted(let client): return try access.ask(client, .snapshotList(json: json))
        }
        let device = try access.openDevice(.readOnly, on: host)
        let list = SnapshotList(device.snapshots)
        try access.close(device)
        try Terminal.require(json ? list.json.text : list.text)
    }
}

struct SnapshotDelete: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Forget a snapshot; what only it needed is free again.")

    @Argument(help: "The volume's file or block device, or where it is mounted.", completion: .file())
    var volume: String
    @Argument(help: "Its name, as casemate snapshot list shows it.")
    var name: SnapshotName
    @OptionGroup var secrets: SecretArguments

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        try access.change(.snapshotDelete(name: "\(name)")) { device throws(CommandFailure) in
            do throws(SnapshotError) {
                try device.deleteSnapshot(name)
                return "snapshot \"\(name)\" is deleted"
            } catch { throw CommandFailure(error, volume: volume) }
        }
    }
}

extension VolumeAccess {
    /// Has the process that serves the volume do `request`; or opens it for writing, has `change` done, closes it, and says
    /// what was done.
    func change(
        _ request: ControlRequest, _ change: (SecureDevice) throws(CommandFailure) -> String
    ) throws {
        switch try find(.readWrite) {
        case .mounted(let client): try ask(client, request)
        case .file(let host): try withDevice(on: host, change)
        }
    }

    /// Opens the volume for writing, has `change` done, closes it, and says what was done.
    func withDevice(_ change: (SecureDevice) throws(CommandFailure) -> String) throws {
        try withDevice(on: openHost(.readWrite), change)
    }

    func withDevice(
        on host: FileBlockHost, _ change: (SecureDevice) throws(CommandFailure) -> String
    ) throws {
        let device = try openDevice(.readWrite, on: host)
        let said: String
        do throws(CommandFailure) {
            said = try change(device)
        } catch {
            do throws(CommandFailure) { try close(device) } catch { Terminal.note("casemate: \(error)") }
            throw error
        }
        try close(device)
        try Terminal.require("\(path): \(said)")
    }
}
