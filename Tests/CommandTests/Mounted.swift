import CommandSupport
import Foundation
import Glibc
import Testing

/// Whether this machine lets us mount; tests that need it are skipped otherwise, and scripts/test lists them.
let canMount = access("/dev/fuse", R_OK | W_OK) == 0

/// A mount made by the built program, taken down at the end whatever happened.
struct Mounted {
    let point: URL
    let process: pid_t
    /// What mounting said on standard error.
    let errors: String

    /// Mounts `volume` below its folder, in the background as users do, and runs `body`.
    static func with<Result>(
        _ volume: VolumeFile, _ options: [String] = [], credential: [String]? = nil,
        environment: [String: String] = [:], _ body: (Mounted) throws -> Result
    ) throws -> Result {
        let (run, point) = try mount(volume, options, credential, environment)
        try #require(run.status == 0, "\(run.text)")
        return try serve(run, at: point, body)
    }

    /// The same, for a volume that may be refused.
    /// - Returns: `nil` when it was, with a typed failure's exit status.
    static func ifAccepted<Result>(_ volume: VolumeFile, _ options: [String], _ body: (Mounted) throws -> Result)
        throws
        -> Result?
    {
        let (run, point) = try mount(volume, options, nil, [:])
        guard run.status == 0 else {
            let status = CommandStatus(rawValue: run.status)
            try #require(status != nil && status != .internal, "\(run.text)")
            return nil
        }
        return try serve(run, at: point, body)
    }

    private static func mount(
        _ volume: VolumeFile, _ options: [String], _ credential: [String]?, _ environment: [String: String]
    ) throws -> (ProgramRun, URL) {
        let point = volume.folder.appendingPathComponent("mnt")
        try FileManager.default.createDirectory(at: point, withIntermediateDirectories: true)
        let run = try ProgramRun.run(
            ProgramRun.casemate,
            ["mount", volume.path, point.path] + (credential ?? volume.credential()) + ["--log", volume.log.path]
                + options, environment: environment)
        return (run, point)
    }

    private static func serve<Result>(_ run: ProgramRun, at point: URL, _ body: (Mounted) throws -> Result) throws
        -> Result
    {
        let number = run.output.firstMatch(of: /process ([0-9]+)/)?.1
        let process = try #require(number.flatMap { pid_t($0) }, "\(run.output)")
        defer {
            if isMountpoint(point.path) {
                _ = try? casemate("unmount", point.path)
                _ = try? ProgramRun.run("/usr/bin/fusermount3", ["-u", "-z", "-q", point.path])
            }
        }
        return try body(Mounted(point: point, process: process, errors: run.errors))
    }

    func file(_ name: String) -> URL { point.appendingPathComponent(name) }

    /// Runs `body` while a program writes small files all the time.
    /// - Parameter body: given the program, which ends by itself only when a write fails.
    func withWriter(_ body: (Process) throws -> Void) throws {
        let writer = Process()
        writer.executableURL = URL(fileURLWithPath: "/bin/sh")
        writer.arguments = [
            "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); echo $i > \"$0/f$((i % 50))\" || exit 1; done",
            point.path,
        ]
        try writer.run()
        defer {
            // Not SIGTERM, which the threads of a test may have blocked for what they start.
            _ = Glibc.kill(writer.processIdentifier, SIGKILL)
            writer.waitUntilExit()
        }
        try body(writer)
    }

    func unmount() throws {
        let run = try casemate("unmount", point.path)
        try #require(run.status == 0, "\(run.text)")
    }

    /// Ends the daemon as a power failure would, and takes the dead mount away.
    func kill() throws {
        try #require(Glibc.kill(process, SIGKILL) == 0)
        try #require(hasEnded)
        let run = try casemate("unmount", point.path)
        try #require(run.status == 0, "\(run.text)")
        try #require(run.errors.contains("died"), "\(run.text)")
    }

    /// Waits up to ten seconds for the daemon to be gone; an ended process that nobody has waited for is gone.
    var hasEnded: Bool {
        for _ in 0..<1000 {
            let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
            guard let state = status?.split(separator: ")").last?.first(where: { $0 != " " }), state != "Z" else {
                return true
            }
            usleep(10_000)
        }
        return false
    }

    static func isMountpoint(_ path: String) -> Bool {
        let table = (try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)) ?? ""
        return table.split(separator: "\n").contains { $0.split(separator: " ").dropFirst().first == path[...] }
    }
}

extension VolumeFile {
    var log: URL { folder.appendingPathComponent("log") }
    var logText: String { (try? String(contentsOf: log, encoding: .utf8)) ?? "" }
    var image: URL { URL(fileURLWithPath: path) }

    func copy(to name: String) throws {
        let target = folder.appendingPathComponent(name)
        try? FileManager.default.removeItem(at: target)
        try FileManager.default.copyItem(at: image, to: target)
    }

    func putBack(_ name: String) throws {
        try FileManager.default.removeItem(at: image)
        try FileManager.default.copyItem(at: folder.appendingPathComponent(name), to: image)
    }
}

/// Writes a file and makes it durable: what a crash must not take.
func writeDurably(_ data: Data, to file: URL) throws {
    let descriptor = open(file.path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    defer { close(descriptor) }
    var rest = data
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        rest = rest.dropFirst(count)
    }
    guard fsync(descriptor) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
}

/// The error number of reading a file to its end, 0 for none.
func readError(_ file: URL) -> Int32 {
    let descriptor = open(file.path, O_RDONLY)
    guard descriptor >= 0 else { return errno }
    defer { close(descriptor) }
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = read(descriptor, &chunk, chunk.count)
        if count < 0 { return errno }
        if count == 0 { return 0 }
    }
}
