import CLinux
import EncFS
import Foundation
import Glibc
import SecureBlock
import Testing

@testable import FUSEFront

/// Runs programs; the program of the package from beside the tests.
struct Program {
    struct Result {
        var status: Int32
        var output: String
        var error: String
    }

    static let fuseDebug = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appendingPathComponent("fuse-debug").path

    static func run(_ program: String, _ arguments: [String], input: String = "") throws -> Result {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        // Files rather than pipes: a daemon that inherits one must not keep us waiting.
        let scratch = try ScratchDirectory()
        let names = ["in", "out", "err"].map { scratch.path + "/" + $0 }
        try Data(input.utf8).write(to: URL(fileURLWithPath: names[0]))
        for name in names.dropFirst() { _ = FileManager.default.createFile(atPath: name, contents: nil) }
        process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: names[0]))
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: names[1]))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: names[2]))
        try process.run()
        process.waitUntilExit()
        func text(_ name: String) throws -> String {
            String(decoding: try Data(contentsOf: URL(fileURLWithPath: name)), as: UTF8.self)
        }
        let status =
            process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
        return Result(status: status, output: try text(names[1]), error: try text(names[2]))
    }

    static func shell(_ script: String) throws -> Result { try run("/bin/sh", ["-c", script]) }
}

/// A mount served by a fuse-debug process in the background.
final class DebugDaemon {
    let mountpoint: String
    let scratch: ScratchDirectory
    private let arguments: [String]

    init(_ arguments: [String], in scratch: ScratchDirectory) throws {
        self.scratch = scratch
        self.arguments = arguments
        mountpoint = scratch.path + "/mount"
        if !exists(mountpoint) { _ = try scratch.make("mount") }
        try start()
    }

    deinit {
        if isMounted { _ = umount2(mountpoint, 2) }
    }

    func start() throws {
        let result = try Program.run(Program.fuseDebug, arguments + [mountpoint])
        try #require(result.status == 0, "fuse-debug: \(result.error)")
    }

    var isMounted: Bool {
        do { return try MountTable.top(at: mountpoint) != nil } catch { return false }
    }

    /// The serving process, found by its command line.
    func process() throws -> pid_t {
        for name in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
            guard let process = pid_t(name), process != getpid(),
                let bytes = FileManager.default.contents(atPath: "/proc/\(name)/cmdline")
            else { continue }
            let words = bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            if words.contains("--in-background"), words.contains(mountpoint) { return process }
        }
        throw FUSEError.notMounted(mountpoint)
    }

    /// As power loss does.
    func kill() throws {
        let process = try process()
        Glibc.kill(process, SIGKILL)
        for _ in 0..<500 where Glibc.kill(process, 0) == 0 { usleep(10_000) }
    }
}

/// An encrypted volume in a file.
enum TestVolume {
    static let passphrase = "correct horse battery"

    static func make(in scratch: ScratchDirectory) throws -> (volume: String, passphraseFile: String) {
        let path = scratch.path + "/volume"
        let secret = scratch.path + "/passphrase"
        let descriptor = casemate_open(secret, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0)
        let bytes = Array(passphrase.utf8)
        #expect(write(descriptor, bytes, bytes.count) == bytes.count)
        close(descriptor)
        let credential = try Credential.passphrase(bytes.withUnsafeBytes { try SecretBytes(copying: $0) })
        let host = try FileBlockHost.create(path: path)
        try SecureDevice.create(on: host, VolumeOptions(logicalBytes: 64 << 20), credential: credential)
        let device = try SecureDevice.open(host, credential: credential)
        var format = EncFS.FormatOptions()
        format.rootOwner = geteuid()
        try EncFS.format(device, format)
        try device.close()
        return (path, secret)
    }
}
