import Foundation
import SimHost
import Synchronization
import Testing
import VFS

/// Many threads on one filesystem: nothing is lost, torn or left behind.
@Suite struct ConcurrencyTests {
    /// Runs `body` on several threads at once, and collects what they throw.
    static func together(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) {
        let failures = Mutex<[String]>([])
        let done = DispatchGroup()
        for index in 0..<count {
            done.enter()
            let thread = Thread {
                do { try body(index) } catch { failures.withLock { $0.append("\(error)") } }
                done.leave()
            }
            thread.start()
        }
        done.wait()
        #expect(failures.withLock { $0 } == [])
    }

    /// Every thread makes, links, renames and removes among the same few names. Calls may fail as the others are faster;
    /// afterwards the structures are sound and everything can be removed.
    @Test(arguments: Subject.all) func namesUnderContention(_ subject: Subject) throws {
        let it = try subject.make()
        let files = it.files
        let directories = [it.root, try it.directory("d0"), try it.directory("d1")]
        Self.together(4) { index in
            var random = SimRandom(seed: UInt64(index) + 7)
            let names = try (0..<6).map { try Name("n\($0)") }
            let allowed: [Errno] = [
                .noSuchFileOrDirectory, .fileExists, .isDirectory, .notDirectory, .directoryNotEmpty,
                .invalidArgument,
                .staleNFSFileHandle,
            ]
            for _ in 0..<400 {
                let from = directories.randomElement(using: &random) ?? directories[0]
                let to = directories.randomElement(using: &random) ?? directories[0]
                let old = names.randomElement(using: &random) ?? names[0]
                let new = names.randomElement(using: &random) ?? names[0]
                do throws(VFSError) {
                    switch UInt8.random(in: 0..<7, using: &random) {
                    case 0:
                        let made = try files.make(
                            NewNode(kind: .regular, permissions: 0o600), named: old, in: from, by: .root)
                        files.forget(made.node, count: 1)
                    case 1:
                        let made = try files.make(
                            NewNode(kind: .directory, permissions: 0o700), named: old, in: from, by: .root)
                        files.forget(made.node, count: 1)
                    case 2: try files.remove(old, in: from, .nonDirectory)
                    case 3: try files.remove(old, in: from, .directory)
                    case 4: try files.rename(old, in: from, to: new, in: to, [])
                    case 5:
                        let found = try files.lookup(old, in: from)
                        defer { files.forget(found.node, count: 1) }
                        guard found.attributes.kind == .regular else { continue }
                        _ = try files.link(found.node, as: new, in: to)
                        files.forget(found.node, count: 1)
                    default:
                        let found = try files.lookup(old, in: from)
                        defer { files.forget(found.node, count: 1) }
                        _ = try files.attributes(found.node)
                    }
                } catch {
                    guard allowed.contains(error.errno) else { throw error }
                }
            }
        }
        it.checkInvariants()
        for directory in directories.reversed() {
            for name in try it.list(directory) where !["d0", "d1"].contains(name) {
                let node = try it.lookup(name, in: directory)
                let kind = try it.attributes(node).kind
                it.files.forget(node, count: 1)
                try it.remove(name, in: directory, kind == .directory ? .directory : .nonDirectory)
            }
            #expect(try it.attributes(directory).linkCount == (directory == it.root ? 4 : 2))
        }
        it.checkInvariants()
    }

    /// Appends never overlap, and a reader sees each one whole.
    @Test(arguments: Subject.all) func appendsAreWhole(_ subject: Subject) throws {
        let it = try subject.make()
        let files = it.files
        let file = try it.file("log")
        let record = 100
        Self.together(4) { index in
            let handle = try files.open(file, [.write, .append])
            defer { files.close(file, handle) }
            for _ in 0..<100 {
                let bytes = [UInt8](repeating: UInt8(index + 1), count: record)
                let written = try bytes.withUnsafeBytes { try files.write(file, handle, at: .end, $0, []) }
                guard written.count == record else { throw VFSError(.ioError, fault: "short append") }
            }
        }
        let bytes = try it.read(file)
        #expect(bytes.count == 400 * record)
        var counts: [UInt8: Int] = [:]
        for start in stride(from: 0, to: bytes.count, by: record) {
            let piece = bytes[start..<start + record]
            #expect(piece.allSatisfy { $0 == piece[start] })
            counts[piece[start], default: 0] += 1
        }
        #expect(counts == [1: 100, 2: 100, 3: 100, 4: 100])
        it.checkInvariants()
    }

    /// One thread writes the same value over a block, others truncate and read: a read is all of one value or shorter.
    @Test(arguments: Subject.having(.wholeReads)) func readsAreOfOneMoment(_ subject: Subject) throws {
        let it = try subject.make()
        let files = it.files
        let file = try it.file("block")
        try it.write(file, at: 0, [UInt8](repeating: 1, count: 3000))
        Self.together(3) { index in
            let handle = try files.open(file, [.read, .write])
            defer { files.close(file, handle) }
            for round in 0..<300 {
                switch index {
                case 0:
                    let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: round | 1), count: 3000)
                    _ = try bytes.withUnsafeBytes { try files.write(file, handle, at: .offset(0), $0, []) }
                default:
                    var bytes = [UInt8](repeating: 0, count: 3000)
                    let count = try bytes.withUnsafeMutableBytes { try files.read(file, handle, at: 0, into: $0) }
                    guard count == 3000, bytes.allSatisfy({ $0 == bytes[0] }), bytes[0] != 0 else {
                        throw VFSError(.ioError, fault: "a read mixes two writes")
                    }
                }
            }
        }
        it.checkInvariants()
    }
}
