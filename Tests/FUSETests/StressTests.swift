import Foundation
import Glibc
import MemFS
import Testing

@testable import FUSEFront

/// Random operations from several threads, each beside the same operation on a directory of the machine: every result
/// and in the end every file must be the same.
@Suite(.mounts) struct StressTests {
    private static let threads = 3
    private static let operations = 1500

    @Test(arguments: [UInt64(1), 2, 3]) func agreesWithAnotherFilesystem(_ seed: UInt64) throws {
        try Mounted.with { root in
            let mirror = try ScratchDirectory()
            var workers: [ServiceThread] = []
            let differences = Differences()
            for index in 0..<Self.threads {
                #expect(mkdir(root + "/\(index)", 0o755) == 0)
                #expect(mkdir(mirror.path + "/\(index)", 0o755) == 0)
                let paths = (root + "/\(index)", mirror.path + "/\(index)")
                workers.append(
                    try ServiceThread(named: "stress-\(index)") {
                        var run = RandomOperations(paths.0, paths.1, seed: seed &* 1000 + UInt64(index) + 1)
                        for step in 0..<Self.operations {
                            if let difference = run.step() {
                                differences.add("seed \(seed), thread \(index), step \(step): \(difference)")
                                return
                            }
                        }
                        for difference in run.compareTrees() { differences.add("seed \(seed): \(difference)") }
                    })
            }
            for worker in workers { worker.join() }
            #expect(differences.all.isEmpty)
        }
    }

    final class Differences: @unchecked Sendable {
        // SAFETY: under the lock.
        private let lock = NSLock()
        private var found: [String] = []
        func add(_ text: String) { lock.withLock { found.append(text) } }
        var all: [String] { lock.withLock { found } }
    }
}

/// One thread's random operations, on two directories alike.
struct RandomOperations {
    private let roots: [String]
    private var state: UInt64

    init(_ first: String, _ second: String, seed: UInt64) {
        roots = [first, second]
        state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    }

    private mutating func random(_ limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(limit))
    }

    /// A few names, so that operations meet each other.
    private mutating func name() -> String {
        let depth = random(3)
        return (0...depth).map { level in level == depth ? "/f\(random(6))" : "/d\(random(3))" }.joined()
    }

    private mutating func directory() -> String { (0...random(2)).map { _ in "/d\(random(3))" }.joined() }

    /// - Returns: how the two differed, if they did.
    mutating func step() -> String? {
        let (one, other, place, count) = (name(), name(), random(40_000), random(9000))
        let folder = directory()
        switch random(13) {
        case 0: return both("mkdir \(folder)") { failure(mkdir($0 + folder, 0o755)) }
        case 1: return both("rmdir \(folder)") { failure(rmdir($0 + folder)) }
        case 2: return both("unlink \(one)") { failure(unlink($0 + one)) }
        case 3: return both("rename \(one) \(other)") { failure(rename($0 + one, $0 + other)) }
        case 4: return both("link \(one) \(other)") { failure(link($0 + one, $0 + other)) }
        case 5: return both("symlink \(other)") { failure(symlink("f1", $0 + other)) }
        case 6: return both("truncate \(one) \(place)") { failure(truncate($0 + one, place)) }
        case 7: return both("chmod \(one)") { failure(chmod($0 + one, 0o600 + mode_t(count % 64))) }
        case 8, 9:
            let bytes = pattern(count, seed: UInt64(place))
            return both("write \(one) \(count) at \(place)") { root in
                withFile(root + one, O_CREAT | O_WRONLY) { pwrite($0, bytes, bytes.count, place) }
            }
        case 10:
            return both("append \(one)") { root in
                withFile(root + one, O_WRONLY | O_APPEND | O_CREAT) { write($0, [1, 2, 3], 3) }
            }
        default:
            let (first, second) = (read(roots[0] + one, count, place), read(roots[1] + one, count, place))
            return first == second ? nil : "read \(one) \(count) at \(place)"
        }
    }

    private func both(_ what: String, _ body: (String) -> Int32) -> String? {
        let (first, second) = (body(roots[0]), body(roots[1]))
        return first == second ? nil : "\(what): error \(first) against \(second)"
    }

    private func withFile(_ path: String, _ flags: Int32, _ body: (Int32) -> Int) -> Int32 {
        let descriptor = casemateOpen(path, flags)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        return failure(body(descriptor))
    }

    private func read(_ path: String, _ count: Int, _ place: Int) -> [UInt8]? {
        let descriptor = casemateOpen(path, O_RDONLY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        let got = pread(descriptor, &bytes, count, place)
        return got < 0 ? nil : Array(bytes[..<got])
    }

    private func casemateOpen(_ path: String, _ flags: Int32) -> Int32 { open(path, flags | O_CLOEXEC, 0o644) }

    /// Names, kinds, modes, sizes, link counts and contents.
    func compareTrees() -> [String] {
        let (first, second) = (tree(roots[0]), tree(roots[1]))
        return first == second ? [] : first.difference(from: second).map { "\($0)" }
    }

    private func tree(_ root: String) -> [String] {
        guard let names = FileManager.default.enumerator(atPath: root) else { return ["unreadable"] }
        return names.compactMap { $0 as? String }.sorted().map { name in
            var status = stat()
            guard lstat(root + "/" + name, &status) == 0 else { return "\(name): missing" }
            let isFile = status.st_mode & S_IFMT == S_IFREG
            let bytes = isFile ? FileManager.default.contents(atPath: root + "/" + name) : nil
            return "\(name) \(String(status.st_mode, radix: 8)) \(isFile ? status.st_size : 0) "
                + "\(isFile ? status.st_nlink : 0) \(bytes?.hashValue ?? 0)"
        }
    }
}
