import ArgumentParser
import CommandSupport
import Inspection
import SecureBlock

struct FsckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fsck", abstract: "Check a volume without changing it.",
        discussion: """
            Checks, from the outside in: superblocks, key slots, anchor, roots, the chain of records, the map against record headers and \
            the segment table; with --read-data also every block's tag; then the filesystem: its tree, every file, directory \
            entry, link count and the allocation of every block. Never writes, so it also works on a read-only copy.

            Exit status as fsck(8): 0 no errors, 4 errors found, 8 the check could not be made (wrong passphrase, volume in use; the \
            message names the class), 16 usage.
            """)

    @Argument(help: "The volume's file or block device.", completion: .file())
    var volume: String

    @OptionGroup var secrets: SecretArguments

    @Flag(
        name: .customLong("read-data"),
        help: "Also read and verify every block of data; takes as long as reading it all.")
    var readData = false

    @Flag(help: "Print the report as JSON.")
    var json = false

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        let host = try access.openHost(.readOnly)
        defer { host.close() }
        let credential = try access.credential()
        let progress = ProgressLine("checking")
        var check = Fsck()
        check.readsData = readData
        check.progress = { progress.update($0, of: $1) }
        let report: Report
        do throws(VolumeError) {
            report = try check.check(
                host, credential: credential, anchor: access.anchor(), options: access.deviceOptions)
        } catch {
            progress.finish()
            throw CommandFailure(error, volume: volume)
        }
        progress.finish()
        try Terminal.require(json ? report.json.text : report.text(volume: volume))
        if report.hasErrors { throw ExitCode(FsckStatus.errorsLeft.rawValue) }
    }
}
