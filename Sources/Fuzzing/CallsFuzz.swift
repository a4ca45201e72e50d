import EncFS
import FileSimulation
import MemFS
import SecureBlock
import SimHost
import UnionFS
import VFS

/// What programs on a mount may ask for, in any order and with any argument: the same calls on EncFS, on MemFS and on a
/// union. Nothing traps; the first two do or refuse the same, all are sound, and what EncFS has is still there when it is
/// mounted again. With which error they refuse is not compared: a call may be wrong in several ways.
enum CallsFuzz {
    /// Calls of one input; more would only be slow.
    private static let limit = 200
    private static let memoryBytes: UInt64 = 16 << 20
    /// Of each file's bytes, so many are compared in the end.
    private static let dumpedBytes: UInt64 = 1 << 17

    static func run(_ input: [UInt8]) throws(FuzzTarget.Failure) {
        do {
            let device = try fresh()
            let files = try EncFS(mounting: device, options)
            let memory = MemFS(maximumBytes: memoryBytes, rootPermissions: 0o755)
            let agree = try run(input, FuzzedFiles(files), FuzzedFiles(memory), try Layers())
            let shown = try hold(files, memory, agree)
            try files.close()
            try hold(device, shown)
        } catch let failure as FuzzTarget.Failure {
            throw failure
        } catch { throw FuzzTarget.Failure(description: "\(error)") }
    }

    /// Inputs to begin with: calls by chance.
    static func seeds() -> [[UInt8]] {
        (0..<24).map { seed in
            var random = SimRandom(seed: UInt64(seed))
            return (0..<40 * (1 + seed % 6)).map { _ in UInt8(truncatingIfNeeded: random.next() >> 8) }
        }
    }

    private static func run(
        _ input: [UInt8], _ encrypted: FuzzedFiles, _ memory: FuzzedFiles, _ union: Layers
    ) throws(FuzzTarget.Failure) -> Bool {
        var reader = FuzzReader(input)
        var agree = true
        for number in 0..<limit where !reader.isAtEnd && agree {
            guard let call = FuzzCall(&reader) else { continue }
            _ = union.files.perform(call)
            let found = encrypted.perform(call)
            if case .clone(let source, let range, let target, let offset) = call {
                if case .done = found { agree = memory.copy(source, range, target, offset) }
                continue
            }
            let expected = memory.perform(call)
            if found == expected || found.isRefused && expected.isRefused { continue }
            // They have not the same room; behind a call that only one of them had it for they hold different things.
            guard [found, expected].contains(.refused(.noSpace)) else {
                throw failure("call \(number), \(call): EncFS has \(found), MemFS \(expected)")
            }
            agree = false
        }
        for files in [encrypted, memory, union.files] { files.forgetAll() }
        if let wrong = union.findings.first { throw failure("a layer of the union: \(wrong)") }
        return agree
    }

    /// Both are sound, and hold the same unless their ways have parted.
    /// - Returns: all that EncFS shows.
    private static func hold(_ files: EncFS, _ memory: MemFS, _ agree: Bool) throws -> [String] {
        if let wrong = memory.checkInvariants().first { throw failure("MemFS: \(wrong)") }
        let found = try files.dump(dataBytes: dumpedBytes), expected = try memory.dump(dataBytes: dumpedBytes)
        guard found == expected || !agree else {
            throw failure("EncFS holds \(difference(found, expected)), MemFS \(difference(expected, found))")
        }
        return found
    }

    /// What is on the device is what the filesystem showed.
    private static func hold(_ device: SimBlockDevice, _ shown: [String]) throws {
        var findings: [String] = []
        _ = try EncFS.check(device, readData: true, progress: { _, _ in }) { found in
            if found.severity == .error { findings.append("\(found)") }
        }
        if let first = findings.first { throw failure("check: \(first)") }
        let again = try EncFS(mounting: device, options).dump(dataBytes: dumpedBytes)
        guard again == shown else {
            throw failure("mounted again: \(difference(again, shown)), before: \(difference(shown, again))")
        }
    }

    private static func difference(_ some: [String], _ others: [String]) -> [String] {
        Array(some.filter { !others.contains($0) }.prefix(3))
    }

    private static func failure(_ text: String) -> FuzzTarget.Failure { FuzzTarget.Failure(description: text) }

    private static var options: EncFS.MountOptions {
        var options = EncFS.MountOptions()
        options.commitIntervalMilliseconds = 0
        options.commitsInBackground = false
        options.nodeCacheBytes = 1 << 20
        return options
    }

    /// An empty filesystem.
    private static func fresh() throws -> SimBlockDevice {
        let empty = try base.get()
        guard let commit = empty.commits.last, let copy = empty.crash(at: commit) else {
            throw failure("there is no empty filesystem")
        }
        return copy
    }

    private static let base: Result<SimBlockDevice, any Error> = Result {
        let device = SimBlockDevice(blocks: 2048)
        var format = EncFS.FormatOptions()
        format.nodeBytes = 4096
        try EncFS.format(device, format)
        return device
    }

    /// A union of two filesystems in memory, with something in the lower one.
    private struct Layers {
        let files: FuzzedFiles
        private let upper = MemFS(maximumBytes: memoryBytes), lower = MemFS(maximumBytes: memoryBytes)

        var findings: [String] { upper.checkInvariants() + lower.checkInvariants() }

        init() throws(VFSError) {
            let below = FuzzedFiles(lower)
            for (number, kind) in [NodeKind.regular, .directory, .symbolicLink].enumerated() {
                let new = NewNode(kind: kind, permissions: 0o755, target: kind == .symbolicLink ? [0x61] : [])
                _ = below.perform(.make(new, try Name("n\(number)"), 0))
            }
            _ = below.perform(.make(NewNode(kind: .regular, permissions: 0o644), try Name("n3"), 2))
            for file in [1, 4] { _ = below.perform(.write(file, .end, [UInt8](repeating: 5, count: 9000), [])) }
            below.forgetAll()
            files = FuzzedFiles(try UnionFS(upper: upper, lowers: [lower]))
        }
    }
}
