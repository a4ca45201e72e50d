import ArgumentParser
import CLinux
import CommandSupport
import Inspection
import SecureBlock
import VolumeControl

struct FsckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fsck", abstract: "Check a volume, repair it, or salvage what is left of it.",
        discussion: """
            Checks, from the outside in: superblocks, key slots, anchor, roots, the chain of records, the map against record headers and \
            the segment table; with --read-data also every block's tag; then the filesystem: its tree, every file, directory \
            entry, link count and the allocation of every block. Without --repair it never writes, so it also works on a read-only copy.

            --repair mends what can be mended without guessing, says each thing before it does it, and checks again: damaged copies of \
            the superblock and of the root, empty key slots, the segment table, segments that could not be cleaned. Blocks that \
            cannot be read stay so and are named by path.

            An image is read and verified whole, against --root-hash if that is given, and its filesystem checked.

            VOLUME may also be the directory where it is mounted: then the process that serves it checks its last commit, the map, with \
            --read-data every block, and the filesystem, while programs go on. Space that they give up stays in use meanwhile.

            --salvage OUT is for a volume that does not open any more: it rebuilds the newest state it can from the records in the log \
            and writes it to OUT, a new volume with the same passphrase or key file. VOLUME is only read. What is lost reads as \
            an error in OUT and is named by path. Whether it is the newest state only an anchor can tell.

            Exit status as fsck(8): 0 no errors, 1 errors corrected, 4 errors left, 8 the check could not be made (wrong passphrase, \
            volume in use; the message names the class), 16 usage, 32 ended by Control-C.
            """)

    @Argument(help: "The volume's file or block device, or where it is mounted.", completion: .file())
    var volume: String

    @OptionGroup var secrets: SecretArguments
    @OptionGroup var images: ImageArguments

    @Flag(
        name: .customLong("read-data"),
        help: "Also read and verify every block of data; takes as long as reading it all.")
    var readData = false

    @Flag(help: "Repair what can be repaired without guessing.")
    var `repair` = false

    @Option(
        help: ArgumentHelp("Rebuild what is left into OUT, which must not exist.", valueName: "out"),
        completion: .file())
    var salvage: String?

    @Option(
        name: .customLong("segment-size"),
        help: "With --salvage, for a volume whose superblocks are lost and that has very few records.")
    var segmentSize: ByteCount?

    @Flag(help: "Print the report as JSON.")
    var json = false

    func validate() throws {
        if salvage != nil, `repair` { throw ValidationError("Give --repair or --salvage, not both.") }
        if segmentSize != nil, salvage == nil { throw ValidationError("--segment-size goes with --salvage.") }
    }

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        if let salvage {
            let host = try access.openHost(.readOnly)
            defer { host.close() }
            _ = try findImage(host, access)
            return try SalvageRun(access, to: salvage, segmentSize, json: json).run()
        }
        let place = try access.find(`repair` ? .readWrite : .readOnly)
        // As long as nothing is written, there is nothing to finish.
        _ = casemate_exit_on_interrupt(FsckStatus.cancelled.rawValue, nil)
        let host: FileBlockHost
        switch place {
        case .file(let found): host = found
        case .mounted(let client): return try ask(client, access)
        }
        defer { host.close() }
        let progress = ProgressLine("checking")
        var check = Fsck()
        check.readsData = readData
        check.progress = { progress.update($0, of: $1) }
        if let image = try findImage(host, access) { return try run(check, image, host, progress) }
        let credential = try access.credential(on: host)
        if `repair` { return try runRepair(check, host, credential, access, progress) }
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

    private func findImage(_ host: FileBlockHost, _ access: VolumeAccess) throws(CommandFailure) -> ImageAccess? {
        try ImageAccess.find(
            host, access, secrets, images,
            others: [("--repair", `repair`), ("--salvage", salvage != nil), ("--segment-size", segmentSize != nil)])
    }

    private func run(_ check: Fsck, _ image: ImageAccess, _ host: FileBlockHost, _ progress: ProgressLine) throws {
        let report = try check.check(image: image.open(host))
        progress.finish()
        try Terminal.require(json ? report.json.text : report.text(volume: volume))
        if report.hasErrors { throw ExitCode(FsckStatus.errorsLeft.rawValue) }
    }

    private func ask(_ client: ControlClient, _ access: VolumeAccess) throws {
        try images.refuseMounted(volume)
        guard !`repair` else {
            throw CommandFailure(
                .inUse, "a volume cannot be repaired while it is mounted", at: volume,
                advice: "casemate unmount it first.")
        }
        try access.ask(client, .check(readsData: readData, json: json), progress: ProgressLine("checking"))
    }

    private func runRepair(
        _ check: Fsck, _ host: FileBlockHost, _ credential: Credential, _ access: VolumeAccess,
        _ progress: ProgressLine
    ) throws {
        let outcome: RepairOutcome
        do throws(VolumeError) {
            outcome = try check.repair(
                host, credential: credential, anchor: access.anchor(), options: access.deviceOptions
            ) { line in
                // From the first change on the work is finished, which takes moments.
                _ = casemate_ignore_interrupt()
                progress.finish()
                Terminal.note("casemate: repair: \(line)")
            }
        } catch {
            progress.finish()
            var failure = CommandFailure(error, volume: volume)
            if case .corrupt = error {
                failure.advice = "casemate fsck --salvage OUT makes a new volume of what is still there."
            }
            throw failure
        }
        progress.finish()
        try Terminal.require(json ? outcome.json.text : outcome.text(volume: volume))
        var status: FsckStatus = outcome.actions.isEmpty ? .clean : .corrected
        if outcome.hasErrors { status.insert(.errorsLeft) }
        if status != .clean { throw ExitCode(status.rawValue) }
    }
}
