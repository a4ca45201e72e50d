import ArgumentParser
import CommandSupport
import Inspection
import SecureBlock

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "List the commits that a volume still holds.",
        discussion: """
            Every sync is a commit, and the log keeps old ones until their space is needed. Any commit listed here can be looked at: \
            casemate mount VOLUME DIR --at SEQUENCE.
            """)

    @Argument(help: "The volume's file or block device.", completion: .file())
    var volume: String

    @OptionGroup var secrets: SecretArguments

    @Flag(help: "List commits: sequence, time, blocks written since the one before, kind.")
    var list = false

    @Flag(help: "Print the list as JSON.")
    var json = false

    func validate() throws {
        guard list else { throw ValidationError("Say what to do: --list.") }
    }

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        let host = try access.openHost(.readOnly)
        defer { host.close() }
        let credential = try access.credential()
        let commits: [CommitRecord]
        do throws(VolumeError) {
            commits = try SecureDevice.history(host, credential: credential)
        } catch {
            throw CommandFailure(error, volume: volume)
        }
        let history = History(commits)
        try Terminal.require(json ? history.json.text : history.text)
    }
}
