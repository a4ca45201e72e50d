import EncFS
import Foundation
import Glibc
import Inspection
import SecureBlock
import Testing
import VFS

/// Commands that change a volume, killed at every call by which they write to it: what they leave opens with every file, and
/// the command said once more finishes.
///
/// strace(1) does the killing, so that the programs are those that people run. `CASEMATE_KILL_STRIDE` is how many calls apart
/// the kills are; 1 for every one, which `scripts/nightly` does.
@Suite(.enabled(if: Tracer.isThere, "needs strace and the right to trace")) struct KilledCommandTests {
    enum Change: String, CaseIterable, Sendable {
        case addKey, changeKey, removeKey, rotate, grow, shrink, createSnapshot, deleteSnapshot, keepHistory,
            `repair`

        /// The command's words before and after the volume.
        func arguments(_ volume: VolumeFile) throws -> [String] {
            let key = ["--key-file", volume.key], path = volume.path
            return switch self {
            case .addKey: try ["keys", "add", path] + key + ["--new-key-file", volume.secondKey()]
            case .changeKey: try ["keys", "change", path] + key + ["--new-key-file", volume.secondKey()]
            case .removeKey: ["keys", "remove", path, "--slot", "1"] + key
            case .rotate: ["keys", "rotate", path, "--drop-others"] + key
            case .grow: ["resize", path, "3M"] + key
            case .shrink: ["resize", path, "2M"] + key
            case .createSnapshot: ["snapshot", "create", path, "new"] + key
            case .deleteSnapshot: ["snapshot", "delete", path, "old"] + key
            case .keepHistory: ["history", path, "--keep", "24h"] + key
            case .repair: ["fsck", path, "--repair"] + key
            }
        }

        /// What the command says when it has nothing more to do, beside 0.
        var doneBefore: Set<Int32> {
            switch self {
            // The old key opens nothing any more.
            case .changeKey: [20]
            case .removeKey: [25]
            case .createSnapshot: [61]
            case .deleteSnapshot: [60]
            case .repair: [1]
            case .addKey, .rotate, .grow, .shrink, .keepHistory: []
            }
        }

        var size: String { self == .shrink ? "4M" : "2M" }
    }

    private static let stride =
        ProcessInfo.processInfo.environment["CASEMATE_KILL_STRIDE"].flatMap { Int($0) } ?? 2

    @Test(arguments: Change.allCases) func everyKillIsSurvived(_ change: Change) throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: change.size)
            let subject = try Subject(volume)
            try prepare(change, volume)
            try volume.copy(to: "before")
            var call = 1
            var kills = 0
            while true {
                try volume.putBack("before")
                let run = try Tracer.run(try change.arguments(volume), killedAt: call)
                guard run.status == -SIGKILL else {
                    #expect(run.status == 0 || change.doneBefore.contains(run.status), "\(run.text)")
                    break
                }
                kills += 1
                try subject.expectAll(isSound: change != .repair, "\(change), killed at call \(call)")
                let again = try ProgramRun.run(ProgramRun.casemate, change.arguments(volume))
                let isDone = again.status == 0 || change.doneBefore.contains(again.status)
                #expect(isDone, "\(change), again after call \(call): \(again.status) \(again.text)")
                try subject.expectAll(isSound: true, "\(change), done again after call \(call)")
                call += Self.stride
            }
            print("kills: \(change): \(kills), up to call \(call)")
            // The shortest of them make nine such calls on their busiest thread.
            #expect(kills * Self.stride >= 6)
        }
    }

    private func prepare(_ change: Change, _ volume: VolumeFile) throws {
        switch change {
        case .removeKey:
            let add = ["keys", "add", volume.path, "--key-file", volume.key, "--new-key-file"]
            #expect(try ProgramRun.run(ProgramRun.casemate, add + [volume.secondKey()]).status == 0)
        case .deleteSnapshot:
            let create = ["snapshot", "create", volume.path, "old", "--key-file", volume.key]
            #expect(try ProgramRun.run(ProgramRun.casemate, create).status == 0)
        case .repair:
            try volume.flipBit(at: VolumeFile.offset(superblock: 1) + 40)
            try volume.flipBit(at: VolumeFile.offset(root: 0) + 100)
            try volume.flipBit(at: VolumeFile.offset(keySlot: 5) + 9)
        default: break
        }
    }
}

/// A volume with files, and what they hold.
private struct Subject {
    private let volume: VolumeFile
    private var files: [String: [UInt8]] = [:]

    init(_ volume: VolumeFile) throws {
        self.volume = volume
        for number in 0..<24 {
            let count = number == 0 ? 200_000 : 50 + number * number * 20
            files["file \(number)"] = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ number) }
        }
        try volume.withFiles(.readWrite) { mounted in
            for (name, bytes) in files { try mounted.make(name, holding: bytes) }
        }
    }

    /// One of the two keys opens the volume, every file is as it was, and a check that reads everything finds nothing.
    /// - Parameter isSound: whether that check must be clean.
    func expectAll(isSound: Bool, _ when: Comment) throws {
        var key = volume.key
        do { try expectFiles(key, when) } catch let error as VolumeError where error.isOfTheKey {
            key = try volume.secondKey()
            try expectFiles(key, when)
        }
        guard isSound else { return }
        var check = Fsck()
        check.readsData = true
        let report = try volume.withCopy { path in
            let host = try FileBlockHost.open(path: path, FileHostOptions(readOnly: true))
            return try check.check(host, credential: volume.keyFile(key), anchor: nil)
        }
        #expect(!report.hasErrors, "\(when): \(report.text(volume: "it"))")
    }

    private func expectFiles(_ key: String, _ when: Comment) throws {
        try volume.withFiles(.readOnly, key: key) { mounted in
            for (name, bytes) in files {
                let found = try mounted.contents(of: name, upTo: bytes.count + 1)
                #expect(found == bytes, "\(when): \(name)")
            }
        }
    }
}

extension VolumeError {
    /// The key that was given is none of the volume's (any more).
    fileprivate var isOfTheKey: Bool {
        switch self {
        case .wrongCredential, .keySlotRevoked: true
        default: false
        }
    }
}

/// strace(1), which kills what it traces.
private enum Tracer {
    private static let program = "/usr/bin/strace"
    /// By what a volume's file is changed.
    private static let calls = "pwrite64,pwritev,pwritev2,io_uring_enter,fallocate,ftruncate,fdatasync,fsync"

    static let isThere: Bool = {
        guard access(program, X_OK) == 0 else { return false }
        return (try? ProgramRun.run(program, ["-f", "-qqq", "-o", "/dev/null", "/bin/true"]).status) == 0
    }()

    /// Runs `casemate`; the thread that gets to its call number `call` of those takes the process with it, before the call.
    static func run(_ arguments: [String], killedAt call: Int) throws -> ProgramRun {
        try ProgramRun.run(
            program,
            [
                "-f", "-qqq", "-o", "/dev/null", "-e", "trace=\(calls)", "-e",
                "inject=\(calls):signal=SIGKILL:when=\(call)", ProgramRun.casemate,
            ] + arguments)
    }
}
