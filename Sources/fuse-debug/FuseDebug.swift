import ArgumentParser
import CommandSupport
import FUSEFront
import Glibc
import Logging
import SecureBlock

struct FuseDebug: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fuse-debug",
        abstract: "Mount encrypted volumes, memory and host directories as one tree, to look at and to debug.",
        discussion: """
            Each --mount puts one filesystem into the tree, which then appears at MOUNTPOINT:

              enc:/PATH=VOLUME      an encrypted volume, made by 'casemate create'
              image:/PATH=FILE@HASH an image, made by 'casemate image build', and its root hash
              mem:/PATH             a filesystem in memory, gone at unmount
              host:/PATH=DIRECTORY  a directory of this machine; nothing outside it can be reached
              union:/PATH=UPPER,LOWER,...
                                    layers seen as one, each enc:VOLUME, image:FILE@HASH, mem: or host:DIRECTORY; all changes go to
                                    the first, and none of the layers may be changed otherwise

            Without a mount at / the root is in memory. Directories to mount onto are made where they are missing.

              fuse-debug --mount enc:/=notes.volume --mount mem:/tmp --mount host:/src=$HOME/src -f -d /mnt/tree

            With --block the tree is one file, MOUNTPOINT/disk: the volume as a disk, for another filesystem to live on. What
            that filesystem flushes is durable; after a crash the disk is as of its last flush, or a later commit.

              casemate create disk.volume --size 20G --no-filesystem
              fuse-debug --block disk.volume /mnt/block
              losetup --find --show --direct-io=on /mnt/block/disk      prints, say, /dev/loop0
              mkfs.ext4 /dev/loop0 && mount /dev/loop0 /srv

            It goes into the background once mounted, unless -f or -d is given. 'casemate unmount MOUNTPOINT' unmounts
            and waits until all is durable; so does Control-C in the foreground.
            """)

    @Option(
        name: .customLong("mount"),
        help: ArgumentHelp("A filesystem and its place in the tree; may be repeated.", valueName: "kind:path"))
    var mounts: [MountArgument] = []

    @Option(
        help: ArgumentHelp(
            "Show a volume's blocks as one file, MOUNTPOINT/disk, instead of a tree.", valueName: "volume"))
    var block: String?

    @Argument(help: "An empty directory.", completion: .directory)
    var mountpoint: String

    @Option(
        name: .customShort("o"),
        help: ArgumentHelp(
            "Mount options as FUSE programs take them: ro, allow_other, noatime, commit=SECONDS, …",
            valueName: "options"))
    var optionLists: [String] = []

    @Flag(name: [.customShort("f"), .customLong("foreground")], help: "Stay in the foreground.")
    var foreground = false

    @Flag(
        name: [.customShort("d"), .customLong("debug")],
        help: "Write a line for every operation to standard error; stays in the foreground.")
    var debug = false

    @Option(help: ArgumentHelp("Append a line for every operation to a file.", valueName: "path"))
    var trace: String?

    @Option(help: ArgumentHelp("Append log lines to a file, once in the background.", valueName: "path"))
    var log: String?

    @Flag(name: .customLong("read-only"), help: "Change nothing, in none of the filesystems.")
    var readOnly = false

    @Option(
        name: .customLong("passphrase-file"),
        help: ArgumentHelp(
            "Read the volumes' passphrase from a file instead of asking; '-' is standard input.", valueName: "path")
    )
    var passphraseFile: String?

    @Option(
        name: .customLong("key-file"),
        help: ArgumentHelp("Use a file of exactly 32 random bytes instead of a passphrase.", valueName: "path"))
    var keyFile: String?

    @Flag(help: "Use the key slot that this machine's TPM 2.0 opens.")
    var tpm = false

    @Option(
        name: .customLong("tpm-pin-file"),
        help: ArgumentHelp("Read the PIN of that slot from a file; '-' is standard input.", valueName: "path"))
    var tpmPINFile: String?

    @Option(
        help: ArgumentHelp(
            "Where the volume's last commit is remembered: file:PATH, tpm:0xINDEX, or none. With one volume only.",
            valueName: "anchor"))
    var anchor: String?

    /// Set by ``launch(_:)`` in the process that it starts.
    @Flag(name: .customLong("in-background"), help: .hidden)
    var isInBackground = false

    /// Shorter paths first, so that a mount finds the directory it goes onto; secrets are passed on in this order.
    var orderedMounts: [MountArgument] {
        mounts.enumerated().sorted {
            ($0.element.components.count, $0.offset) < ($1.element.components.count, $1.offset)
        }.map(\.element)
    }

    /// Paths of the volumes, in the order in which they are opened.
    var volumes: [String] {
        orderedMounts.flatMap { $0.layers.filter { $0.kind == .enc }.map(\.source) } + (block.map { [$0] } ?? [])
    }

    /// Paths of the images.
    private var images: [String] { mounts.flatMap { $0.layers.compactMap { $0.image?.path } } }

    func validate() throws {
        guard !mounts.isEmpty || block != nil else {
            throw ValidationError("Give at least one --mount, or --block.")
        }
        guard mounts.isEmpty || block == nil else { throw ValidationError("Give --mount or --block, not both.") }
        guard [passphraseFile != nil, keyFile != nil, tpm].count(where: { $0 }) <= 1 else {
            throw ValidationError("Give one of --passphrase-file, --key-file and --tpm.")
        }
        if tpmPINFile != nil, !tpm { throw ValidationError("--tpm-pin-file goes with --tpm.") }
        if let anchor {
            guard AnchorSource(anchor) != nil else {
                throw ValidationError("--anchor is file:PATH, tpm:0xINDEX or none.")
            }
            guard volumes.count <= 1 else { throw ValidationError("--anchor goes with one volume only.") }
        }
        let paths = mounts.map(\.path)
        for (index, path) in paths.enumerated() where paths[..<index].contains(path) {
            throw ValidationError("Two filesystems at \(path).")
        }
    }

    func run() throws {
        if isInBackground { return try serveInBackground() }
        let options: FUSEOptions
        do throws(CommandFailure) { options = try parsedOptions() } catch { throw report(error) }
        do throws(FUSEError) {
            try MountpointCheck.check(
                mountpoint, backing: (volumes + images).filter { access($0, F_OK) == 0 },
                hidesFiles: options.hidesFiles)
        } catch { throw report(CommandFailure(error, mountpoint: mountpoint)) }
        guard foreground || debug else { return try launch() }
        let logger = Logger(label: "fuse-debug") { StreamLogHandler.standardError(label: $0) }
        do throws(CommandFailure) {
            try DebugMount(self, options, logger) { volume throws(CommandFailure) in try credential(volume) }
                .serve { Terminal.note("fuse-debug: mounted on \(mountpoint); Control-C unmounts") }
        } catch { throw report(error) }
    }

    /// Asks for the secrets while there is a terminal, and starts the process that serves.
    private func launch() throws {
        var parcel = SecretParcel()
        let outcome: BackgroundLauncher.Outcome
        do {
            for volume in volumes { try credential(volume).append(to: &parcel) }
            outcome = try BackgroundLauncher.launch(CommandLine.arguments + ["--in-background"], parcel)
        } catch let failure as CommandFailure {
            throw report(failure)
        } catch let error as FUSEError {
            throw report(CommandFailure(error, mountpoint: mountpoint))
        }
        if let message = outcome.message { Terminal.note("fuse-debug: \(message)") }
        if outcome.exitCode != 0 { throw ExitCode(outcome.exitCode) }
    }

    private func serveInBackground() throws {
        var channel: BackgroundChannel
        do throws(FUSEError) {
            channel = try BackgroundChannel.adopt()
        } catch {
            throw report(CommandFailure(.usage, "--in-background is not for people"))
        }
        let logger = Logger(label: "fuse-debug") { StreamLogHandler.standardError(label: $0) }
        do throws(CommandFailure) {
            try serve(&channel, logger)
        } catch {
            channel.fail("\(error)", exitCode: error.status.rawValue)
            logger.error("\(error)")
            throw ExitCode(error.status.rawValue)
        }
    }

    private func serve(_ channel: inout BackgroundChannel, _ logger: Logger) throws(CommandFailure) {
        var credentials = Array(try Credential.all(in: channel.secrets).reversed())
        let mount = try DebugMount(self, try parsedOptions(), logger) { volume throws(CommandFailure) in
            guard let next = credentials.popLast() else {
                throw CommandFailure(.internal, "no secret was passed on", at: volume)
            }
            return next
        }
        try mount.serve { () throws(CommandFailure) in
            do throws(FUSEError) { try channel.ready(log: log) } catch {
                throw CommandFailure(error, mountpoint: mountpoint)
            }
        }
    }

    private func credential(_ volume: String) throws(CommandFailure) -> Credential {
        var source = CredentialSource.prompt(twice: false)
        if let passphraseFile { source = .passphraseFile(passphraseFile) }
        if let keyFile { source = .keyFile(keyFile) }
        if tpm { source = .tpm(tpmPINFile.map { .file($0) } ?? .none, registers: []) }
        return try source.read(volume: volume) { Terminal.note("fuse-debug: warning: \($0)") }
    }

    private func parsedOptions() throws(CommandFailure) -> FUSEOptions {
        var options = FUSEOptions()
        // One volume's path, as it is for casemate mount: commands on the volume find its mount by it.
        options.sourceName = "fuse-debug"
        if volumes.count == 1, let volume = volumes.first, let path = realpath(volume, nil) {
            options.sourceName = String(cString: path)
            free(path)
        }
        options.subtype = "fuse-debug"
        do throws(FUSEError) {
            for list in optionLists { try options.apply(list: list) }
        } catch { throw CommandFailure(error, mountpoint: mountpoint) }
        if readOnly { options.readOnly = true }
        return options
    }

    private func report(_ failure: CommandFailure) -> ExitCode {
        Terminal.note("fuse-debug: \(failure)")
        return ExitCode(failure.status.rawValue)
    }
}
