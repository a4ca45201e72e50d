import EncFS
import Foundation
import HostFS
import LibOSCore
import MemFS
import SecureBlock
import VFS

/// An encrypted volume inside one process, without FUSE: mounted at `/` beside memory and a host directory, used through
/// Linux's file calls, closed, opened again and compared.
///
///     swift run InProcess [DIRECTORY]
///
/// The directory, by default one in the temporary directory, gets the volume, its key, its anchor, and `shared`, which
/// the program sees as `/host`. A second run finds what the first one wrote.
@main
struct InProcess {
    static func main() throws {
        Hardening.apply()
        let directory =
            CommandLine.arguments.dropFirst().first
            ?? FileManager.default.temporaryDirectory.appendingPathComponent("casemate-example").path
        let place = try Place(directory)

        var volume = try Volume(at: place)
        let run = try use(try volume.context())
        try volume.close()

        volume = try Volume(at: place)
        try verify(try volume.context(), run: run)
        try volume.close()
        print("Closed, opened again, and all is there. Run it again: the volume in \(directory) remembers.")
    }

    /// Writes, copies and lists; the number of this run.
    static func use(_ context: FileContext) throws -> Int {
        // Directories are made once; a later run finds them.
        if try context.names(in: "/").contains(Array("runs".utf8)) == false {
            try context.mkdir("/runs", permissions: 0o700)
        }
        let run = try context.names(in: "/runs").count + 1
        print("Run \(run) on this volume. Mounted:")
        for mount in context.namespace.mountDescriptions { print("  \(mount.path)\t\(mount.typeName)") }

        // From the host, through memory, into the volume. Each copy crosses a mount, so rename would be EXDEV.
        try copy("/host/hello.txt", to: "/tmp/hello.txt", in: context)
        try copy("/tmp/hello.txt", to: "/runs/\(run)", in: context)

        // Appended and made durable: when fsync returns, a crash or a hostile host cannot take it back unnoticed.
        let file = try context.open("/runs/\(run)", [.writeOnly, .append])
        _ = try context.write(file, Array("Run \(run) was here.\n".utf8))
        try context.fsync(file)
        try context.close(file)

        for name in try context.names(in: "/runs") {
            let path = Path("/runs/".utf8 + name)
            print("  \(path)\t\(try context.stat(path).size) bytes")
        }
        return run
    }

    static func copy(_ from: Path, to: Path, in context: FileContext) throws {
        let source = try context.open(from)
        let target = try context.open(to, [.writeOnly, .create, .truncate], permissions: 0o600)
        while try context.copyFileRange(source, target, count: 1 << 20) > 0 {}
        try context.close(source)
        try context.close(target)
    }

    static func verify(_ context: FileContext, run: Int) throws {
        for number in 1...run {
            let file = try context.open("/runs/\(number)")
            let text = String(decoding: try context.read(file, count: 4096), as: UTF8.self)
            try context.close(file)
            guard text == Place.greeting + "Run \(number) was here.\n" else {
                throw VFSError(.ioError, fault: "/runs/\(number) reads \(text)")
            }
        }
        // Memory went with the first namespace.
        guard try context.names(in: "/tmp").isEmpty else { throw VFSError(.ioError, fault: "/tmp is not empty") }
    }
}
