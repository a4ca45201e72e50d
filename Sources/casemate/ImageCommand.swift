import ArgumentParser
import CLinux
import CommandSupport
import Glibc
import HostFS
import Imaging
import SecureBlock
import VFS

struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "Make read-only images that a root hash vouches for.",
        subcommands: [ImageBuildCommand.self])
}

struct ImageBuildCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build", abstract: "Make a read-only image of a directory, and print its root hash.",
        discussion: """
            Puts everything below DIRECTORY into the new file IMAGE and prints its root hash, 64 hexadecimal digits, alone on standard \
            output. Whoever has the root hash, in a measured program say, can mount the image from storage that he does not trust: what \
            he reads is what was put in. An image is not encrypted.

              root=$(casemate image build rootfs rootfs.image --owner root)
              casemate mount rootfs.image ~/rootfs --root-hash $root

            The same tree makes the same image, wherever and whenever: names, contents, permissions, owners, modification times, \
            links, attributes and access control lists count, and nothing else. Where SOURCE_DATE_EPOCH is set (seconds since 1970), later \
            times become that one. Sockets are left out; labels of the machine, such as security.selinux, too. Attributes in the trusted \
            namespace only root sees.
            """)

    @Argument(help: "The directory.", completion: .directory)
    var directory: String

    @Argument(help: "The file to make, which must not exist.", completion: .file())
    var image: String

    @Option(
        help: ArgumentHelp(
            "Whose the files are: keep, root, or UID:GID in numbers.", valueName: "owner"))
    var owner = ImageBuild.Ownership.kept

    func run() throws {
        let source = try openSource()
        try refuseImageInside()
        var options = ImageBuild.Options()
        options.ownership = owner
        options.latestTime = try Self.sourceDate()
        guard access(image, F_OK) != 0 else { throw CommandFailure(ImageError.notEmpty, image: image) }
        let host: FileBlockHost
        do throws(HostError) { host = try FileBlockHost.create(path: image) } catch {
            throw CommandFailure(error, volume: image)
        }
        defer { host.close() }
        _ = casemate_exit_on_interrupt(128 + SIGINT, image)
        let progress = ProgressLine("building")
        let summary: ImageBuild.Summary
        do {
            let scratch = try openScratch()
            defer { scratch.close() }
            defer { progress.finish() }
            summary = try ImageBuild.run(source, on: host, scratch: scratch, options) {
                progress.update($0, of: $1)
            }
        } catch {
            unlink(image)
            if let error = error as? ImageBuildError { throw failure(error) }
            throw error
        }
        // It is whole and stays.
        _ = casemate_ignore_interrupt()
        for path in summary.leftOut { Terminal.note("casemate: warning: \(directory)\(path): a socket, left out") }
        Terminal.note(
            "casemate: \(image): \(summary.files) files and \(summary.directories) directories in \(summary.imageBytes) bytes"
        )
        try Terminal.require("\(summary.rootHash)")
    }

    private func openSource() throws(CommandFailure) -> HostFS {
        do throws(VFSError) {
            return try HostFS(root: directory, readOnly: true)
        } catch {
            throw CommandFailure(.sourceUnreadable, "the directory cannot be read: \(error.errno)", at: directory)
        }
    }

    /// An image of a directory that it lies in would have itself in it, half made.
    private func refuseImageInside() throws(CommandFailure) {
        let parent = image.lastIndex(of: "/").map { $0 == image.startIndex ? "/" : String(image[..<$0]) } ?? "."
        guard let inside = Self.resolved(parent), let tree = Self.resolved(directory) else { return }
        guard inside == tree || inside.hasPrefix(tree == "/" ? tree : tree + "/") else { return }
        throw CommandFailure(
            .usage, "it would lie in the directory that it is made of", at: image, advice: "Choose another place.")
    }

    private static func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Room for the filesystem in the making, beside the image: a file without a name, so that nothing of it stays.
    private func openScratch() throws(CommandFailure) -> FileBlockHost {
        var path = Array("\(image).XXXXXX".utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else {
            throw CommandFailure(
                .hostFailed, "no file to work in can be made: \(String(cString: strerror(errno)))", at: image)
        }
        close(descriptor)
        let name = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unlink(name) }
        do throws(HostError) {
            return try FileBlockHost.open(path: name, FileHostOptions(direct: false))
        } catch { throw CommandFailure(error, volume: name) }
    }

    /// What reproducible builds take for the time: reproducible-builds.org/specs/source-date-epoch.
    private static func sourceDate() throws(CommandFailure) -> Timestamp? {
        guard let value = getenv("SOURCE_DATE_EPOCH") else { return nil }
        let text = String(cString: value)
        guard let seconds = Int64(text), seconds >= 0 else {
            throw CommandFailure(.usage, "SOURCE_DATE_EPOCH is \"\(text)\", and not a number of seconds since 1970")
        }
        return Timestamp(seconds: seconds, nanoseconds: 0)
    }

    private func failure(_ error: ImageBuildError) -> CommandFailure {
        switch error {
        case .source(let path, let cause):
            CommandFailure(.sourceUnreadable, "cannot be read: \(cause)", at: directory + path)
        case .changed(let path):
            CommandFailure(
                .sourceUnreadable, "changed while it was read", at: directory + path,
                advice: "Build again when nobody writes there.")
        case .tooDeep(let path): CommandFailure(.sourceUnreadable, "lies too deep", at: directory + path)
        case .unsuitable(let path, let cause):
            CommandFailure(.sourceUnreadable, "cannot be put into an image: \(cause)", at: directory + path)
        case .scratch(let error): CommandFailure(error, volume: image)
        case .fileSystem(let what):
            CommandFailure(.internal, "the filesystem could not be made: \(what)", at: image)
        case .image(let error): CommandFailure(error, image: image)
        }
    }
}

extension ImageBuild.Ownership: ExpressibleByArgument {
    public init?(argument: String) {
        if argument == "keep" {
            self = .kept
        } else if argument == "root" {
            self = .fixed(user: 0, group: 0)
        } else {
            let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
            // The highest is "no change" to chown(2), and nobody's number.
            guard parts.count == 2, let user = UInt32(parts[0]), let group = UInt32(parts[1]), user < .max,
                group < .max
            else { return nil }
            self = .fixed(user: user, group: group)
        }
    }

    public var defaultValueDescription: String {
        switch self {
        case .kept: "keep"
        case .fixed(let user, let group): "\(user):\(group)"
        }
    }
}
