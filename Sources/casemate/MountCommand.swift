import ArgumentParser
import CommandSupport
import EncFS
import FUSEFront
import SecureBlock
import VolumeControl

struct MountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mount", abstract: "Mount a volume or an image as a directory.",
        discussion: """
            Returns once the volume is mounted; a process in the background serves it until casemate unmount DIR. What is written \
            becomes durable by fsync(2), by casemate sync DIR, and every 5 seconds.

              casemate mount secrets.volume ~/secrets
              casemate mount secrets.volume ~/secrets -o allow_other,noatime,commit=30
              casemate mount secrets.volume ~/then --at 1234        an earlier commit, read-only
              casemate mount secrets.volume ~/then --snapshot NAME  a snapshot, also while the volume is mounted elsewhere
              casemate mount rootfs.image ~/rootfs --root-hash HEX  an image (casemate image build), read-only

            -o takes what FUSE programs take: ro, allow_other, allow_root, suid, dev, noexec, noatime, nonempty, auto_unmount, fsname=, \
            threads=, max_read=, commit=SECONDS between commits, and discard: give the host back what is free on the volume, which it \
            then sees.
            """)

    @Argument(help: "The volume's file or block device.", completion: .file())
    var volume: String

    @Argument(help: "An empty directory.", completion: .directory)
    var directory: String

    @OptionGroup var secrets: SecretArguments
    @OptionGroup var images: ImageArguments

    @Flag(
        name: .customLong("any-root-hash"),
        help: "Mount an image whatever its root hash is: damage shows, another image in its place does not.")
    var takesAnyRootHash = false

    @Flag(name: .customLong("read-only"), help: "Change nothing: the volume's file is opened for reading.")
    var readOnly = false

    @Option(
        help: ArgumentHelp("Show an earlier commit (casemate replay --list), read-only.", valueName: "sequence"))
    var at: UInt64?

    @Option(help: ArgumentHelp("Show a snapshot (casemate snapshot list), read-only.", valueName: "name"))
    var snapshot: SnapshotName?

    @Option(
        name: .customShort("o"), help: ArgumentHelp("Mount options, separated by commas.", valueName: "options"))
    var options: [String] = []

    @Flag(help: "Stay in the foreground; ends on Control-C. Log lines go to standard error.")
    var foreground = false

    @Option(help: ArgumentHelp("Append log lines to a file instead of syslog(3).", valueName: "path"))
    var log: String?

    var fuseOptions: FUSEOptions {
        get throws(CommandFailure) {
            var parsed = FUSEOptions()
            parsed.sourceName = VolumeAccess(path: volume, secrets).absolutePath
            parsed.subtype = "casemate"
            do throws(FUSEError) {
                for list in options { try parsed.apply(list: list) }
            } catch {
                throw CommandFailure(error, mountpoint: directory)
            }
            if readOnly || at != nil || snapshot != nil { parsed.readOnly = true }
            return parsed
        }
    }

    var mode: OpenMode {
        get throws(CommandFailure) {
            if let snapshot { return .snapshot(snapshot) }
            if let at { return .readOnlyAt(SequenceNumber(at)) }
            return try fuseOptions.readOnly ? .readOnly : .readWrite
        }
    }

    func validate() throws {
        guard at == nil || snapshot == nil else { throw ValidationError("Give --at or --snapshot, not both.") }
        guard images.rootHash == nil || !takesAnyRootHash else {
            throw ValidationError("Give --root-hash or --any-root-hash, not both.")
        }
    }

    /// Set by ``launch(_:)`` in the process that it starts.
    @Flag(name: .customLong("in-background"), help: .hidden)
    var isInBackground = false

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        if isInBackground { return try serveInBackground(access) }
        let options = try fuseOptions
        // Before the passphrase is asked for: what is wrong with the paths costs no typing and no key derivation.
        let mountpoint: String
        do throws(FUSEError) {
            mountpoint = try MountpointCheck.check(directory, backing: [volume], hidesFiles: options.hidesFiles)
        } catch {
            throw CommandFailure(error, mountpoint: directory)
        }
        let host: FileBlockHost
        if let snapshot {
            switch try access.find(mode) {
            case .file(let found): host = found
            case .mounted(let client): return try ask(client, for: snapshot, at: mountpoint, access)
            }
        } else {
            host = try openHost(access)
        }
        let image: ImageAccess?
        var credential: Credential?
        do {
            image = try findImage(host, access)
            if image == nil { credential = try access.credential(on: host) }
        } catch {
            host.close()
            throw error
        }
        guard foreground else {
            host.close()
            return try launch(credential)
        }
        let target = try log.map { path throws(CommandFailure) in try LineLog.open(path) } ?? .descriptor(2)
        let mount = Mount(access: access, directory: directory, options: options, log: target)
        try serve(mount, image, host, credential) {
            Terminal.note("casemate: \(volume) is mounted on \(directory); Control-C unmounts it")
        }
    }

    /// Has the process that serves the volume show its snapshot, too: nobody else can have the volume open.
    private func ask(
        _ client: ControlClient, for snapshot: SnapshotName, at mountpoint: String, _ access: VolumeAccess
    ) throws {
        guard !foreground, log == nil else {
            throw CommandFailure(
                .inUse, "mounted, so that its snapshots are shown by the process that serves it", at: volume,
                advice: "Leave out --foreground and --log.")
        }
        try access.ask(
            client,
            .snapshotMount(
                name: "\(snapshot)", directory: mountpoint, options: self.options.joined(separator: ",")))
    }

    /// An image is never written, so nobody needs the right to.
    private func openHost(_ access: VolumeAccess) throws(CommandFailure) -> FileBlockHost {
        try access.openHost(images.isGiven || takesAnyRootHash ? .readOnly : mode)
    }

    /// - Throws: also when there is an image, and nothing that says which one it has to be.
    private func findImage(_ host: FileBlockHost, _ access: VolumeAccess) throws(CommandFailure) -> ImageAccess? {
        let image = try ImageAccess.find(
            host, access, secrets, images, others: [("--at", at != nil), ("--snapshot", snapshot != nil)])
        if image == nil, takesAnyRootHash { throw CommandFailure(ImageError.notAnImage, image: volume) }
        guard image != nil, !images.isGiven, !takesAnyRootHash else { return image }
        throw CommandFailure(
            .rootHashRequired, "an image, and nothing says which one it has to be", at: volume,
            advice: "Give the root hash that casemate image build printed: --root-hash HEX.")
    }

    private func serve(
        _ mount: Mount, _ image: ImageAccess?, _ host: FileBlockHost, _ credential: Credential?,
        ready: () throws -> Void
    ) throws {
        if let image { return try mount.serve(image, host, ready: ready) }
        guard let credential else { throw CommandFailure(.internal, "the process was given no secret") }
        try mount.serve(mode, host, credential, ready: ready)
    }

    /// Starts the process that serves the mount, hands it the secret, and waits until it is mounted.
    private func launch(_ credential: Credential?) throws {
        let outcome: BackgroundLauncher.Outcome
        do throws(FUSEError) {
            var parcel = SecretParcel()
            if let credential { try credential.append(to: &parcel) }
            outcome = try BackgroundLauncher.launch(CommandLine.arguments + ["--in-background"], parcel)
        } catch {
            throw CommandFailure(error, mountpoint: directory)
        }
        if let message = outcome.message {
            Terminal.note("casemate: \(message)")
            throw ExitCode(outcome.exitCode)
        }
        try Terminal.require("\(volume) is mounted on \(directory) by process \(outcome.process)")
    }

    private func serveInBackground(_ access: VolumeAccess) throws {
        var channel: BackgroundChannel
        do throws(FUSEError) {
            channel = try BackgroundChannel.adopt()
        } catch {
            throw CommandFailure(.usage, "--in-background is for casemate mount itself")
        }
        do {
            let credential = try Credential.all(in: channel.secrets).first
            let target = try log.map { path throws(CommandFailure) in try LineLog.open(path) } ?? .system
            let mount = try Mount(access: access, directory: directory, options: fuseOptions, log: target)
            let host = try openHost(access)
            let image = try findImage(host, access)
            try serve(mount, image, host, credential) { try channel.ready(log: log) }
        } catch let failure as CommandFailure {
            // The launcher says it; once it returned, the log has it.
            channel.fail("\(failure)", exitCode: failure.status.rawValue)
            throw ExitCode(failure.status.rawValue)
        } catch {
            channel.fail("\(error)", exitCode: CommandStatus.internal.rawValue)
            throw ExitCode(CommandStatus.internal.rawValue)
        }
    }
}
