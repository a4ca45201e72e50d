import EncFS
import Foundation
import Glibc
import HostFS
import MemFS
import Mounting
import SecureBlock
import SimHost
import Testing
import UnionFS
import VFS

@testable import FUSEFront

/// Two processes at once make random calls on a mount, each on files of its own, held against a model, and both on shared
/// ones whose values must be whole: `mount-model`. Mappings, `msync(2)` and `copy_file_range(2)` are among the calls. Then
/// the volume is mounted again, and everything is there.
@Suite(.mountsAsRoot, .serialized) struct MountModelTests {
    /// Calls of each process; `CASEMATE_MODEL_STEPS` asks for more than there is time for with every change.
    private static let asked = ProcessInfo.processInfo.environment["CASEMATE_MODEL_STEPS"].flatMap { Int($0) }
    static let steps = asked ?? 16_000

    static let program = URL(fileURLWithPath: Program.fuseDebug).deletingLastPathComponent()
        .appendingPathComponent("mount-model").path

    @Test func memory() throws {
        let files = MemFS(maximumBytes: 256 << 20)
        try twoProcesses { files }
        #expect(files.checkInvariants() == [])
    }

    @Test func hostDirectory() throws {
        let scratch = try ScratchDirectory()
        // Here `fsync(2)` waits for a disk.
        try twoProcesses(steps: Self.asked ?? Self.steps / 4) { try HostFS(root: scratch.path, readOnly: false) }
    }

    @Test func union() throws {
        let (upper, lower) = (MemFS(maximumBytes: 256 << 20), MemFS(maximumBytes: 1 << 20))
        try twoProcesses { try UnionFS(upper: upper, lowers: [lower]) }
        #expect(upper.checkInvariants() + lower.checkInvariants() == [])
    }

    @Test func encrypted() throws {
        let host = MemoryBlockHost()
        let key = try SecretBytes.random(byteCount: Credential.keyFileBytes)
        try SecureDevice.create(on: host, VolumeOptions(logicalBytes: 256 << 20), credential: .keyFile(key))
        let device = try SecureDevice.open(host, credential: .keyFile(key))
        try EncFS.format(device, EncFS.FormatOptions())
        try twoProcesses {
            try EncFS(mounting: device, EncFS.MountOptions())
        } finish: { files in
            try files.close()
            var findings: [String] = []
            _ = try EncFS.check(device, readData: true, progress: { _, _ in }) { findings.append("\($0)") }
            #expect(findings == [])
        }
        try device.close()
    }

    /// The model itself on a directory of this machine: what it says of Linux is so.
    @Test func theModelAgreesWithLinux() throws {
        let scratch = try ScratchDirectory()
        try work(scratch.path, steps: min(Self.steps / 4, 20_000))
    }

    private func twoProcesses<Files: FileSystem>(
        steps: Int = steps, _ open: () throws -> Files, finish: (Files) throws -> Void = { _ in }
    ) throws {
        var options = FUSEOptions()
        options.audience = .everybody
        var files = try open()
        var mounted = try Mounted(files, options)
        do {
            defer { mounted.end() }
            try work(mounted.path, steps: steps)
        }
        try finish(files)
        files = try open()
        mounted = try Mounted(files, options)
        do {
            defer { mounted.end() }
            try verify(mounted.path, steps: steps)
        }
        try finish(files)
    }

    private static let seeds = [1, UInt64.random(in: 2...1_000_000)]

    /// Both processes at once, then what both must have left.
    private func work(_ path: String, steps: Int) throws {
        let reports = Reports()
        let threads = try Self.seeds.map { seed in
            try ServiceThread(named: "model-\(seed)") {
                reports.add(Self.run([path, "--seed", "\(seed)", "--steps", "\(steps)"]))
            }
        }
        for thread in threads { thread.join() }
        let counts = reports.all.compactMap(Self.counts)
        try #require(counts.count == 2, "\(reports.all)")
        let expected = [counts[0][0] + counts[1][0], counts[0][1] + counts[1][1]]
        let found = Self.run([path, "--check-shared"])
        #expect(Self.counts(found) == expected, "\(found)")
    }

    private func verify(_ path: String, steps: Int) throws {
        for seed in Self.seeds {
            #expect(Self.run([path, "--seed", "\(seed)", "--steps", "\(steps)", "--verify"]) == "")
        }
        #expect(Self.counts(Self.run([path, "--check-shared"])) != nil)
    }

    /// What the program says: its output when all held, its complaint when not.
    private static func run(_ arguments: [String]) -> String {
        do {
            let result = try Program.run(program, arguments)
            return result.status == 0 ? result.output : "status \(result.status): \(result.error)"
        } catch { return "\(error)" }
    }

    /// `increments N appends M`
    private static func counts(_ report: String) -> [Int]? {
        let words = report.split(whereSeparator: \.isWhitespace)
        guard words.count == 4, words[0] == "increments", let first = Int(words[1]), let second = Int(words[3])
        else {
            return nil
        }
        return [first, second]
    }

    private final class Reports: @unchecked Sendable {
        // SAFETY: under the lock.
        private let lock = NSLock()
        private var reports: [String] = []
        func add(_ report: String) { lock.withLock { reports.append(report) } }
        var all: [String] { lock.withLock { reports } }
    }
}
