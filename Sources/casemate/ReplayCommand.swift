import ArgumentParser
import CommandSupport
import Glibc
import Inspection
import SecureBlock

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "List the commits that a volume still holds, or take one out.",
        discussion: """
            Every sync is a commit, and the log keeps old ones until their space is needed. Any commit listed here can be looked at: \
            casemate mount VOLUME DIR --at SEQUENCE, or written to a plain, unencrypted image of its blocks:

              casemate replay VOLUME --export SEQUENCE --to IMAGE
            """)

    @Argument(help: "The volume's file or block device.", completion: .file())
    var volume: String

    @OptionGroup var secrets: SecretArguments

    @Flag(help: "List commits: sequence, time, blocks written since the one before, kind.")
    var list = false

    @Flag(help: "Print the list as JSON.")
    var json = false

    @Option(help: ArgumentHelp("Write the blocks of a commit to a new file.", valueName: "sequence"))
    var export: UInt64?

    @Option(name: .customLong("to"), help: ArgumentHelp("The file to make for --export.", valueName: "path"))
    var image: String?

    func validate() throws {
        guard list != (export != nil) else { throw ValidationError("Say what to do: --list or --export.") }
        guard (export == nil) == (image == nil) else {
            throw ValidationError("--export SEQUENCE goes with --to PATH.")
        }
    }

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        if let export, let image { return try write(SequenceNumber(export), to: image, access) }
        let host = try access.openHost(.readOnly)
        defer { host.close() }
        let credential = try access.credential(on: host)
        let commits: [CommitRecord]
        do throws(VolumeError) {
            commits = try SecureDevice.history(host, credential: credential)
        } catch {
            throw CommandFailure(error, volume: volume)
        }
        let history = History(commits)
        try Terminal.require(json ? history.json.text : history.text)
    }

    private func write(_ commit: SequenceNumber, to image: String, _ access: VolumeAccess) throws {
        let device = try access.openDevice(.readOnlyAt(commit))
        let blocks: UInt64
        do throws(ImageExport.Failure) {
            blocks = try ImageExport.write(device, to: image)
        } catch {
            try access.close(device)
            switch error {
            case .exists(let path):
                throw CommandFailure(
                    .notEmpty, "something is there already, and nothing is ever overwritten", at: path,
                    advice: "Choose another name, or remove it yourself.")
            case .host(let call, let errno):
                throw CommandFailure(.hostFailed, "\(call) failed: \(String(cString: strerror(errno)))", at: image)
            case .device(let error): throw CommandFailure(error, volume: volume)
            }
        }
        try access.close(device)
        try Terminal.require("\(image): \(blocks) blocks of \(commit), without any encryption")
    }
}
