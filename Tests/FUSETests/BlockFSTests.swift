import BlockFS
import Glibc
import SecureBlock
import SimHost
import Testing
import VFS

/// The block front in process, against a model that is an array of bytes.
@Suite struct BlockFSTests {
    private let disk = BlockFS.disk

    private func options() -> BlockFS.Options {
        var options = BlockFS.Options()
        // Commits only where the test or the device asks for one.
        options.commitIntervalMilliseconds = 0
        return options
    }

    private func read(_ files: BlockFS, _ range: Range<Int>) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xAA, count: range.count)
        let count = try bytes.withUnsafeMutableBytes {
            try files.read(disk, .none, at: UInt64(range.lowerBound), into: $0)
        }
        return Array(bytes[..<count])
    }

    private func write(_ files: BlockFS, _ bytes: [UInt8], at offset: Int) throws -> Int {
        try bytes.withUnsafeBytes {
            try files.write(disk, .none, at: .offset(UInt64(offset)), $0, []).count
        }
    }

    private func errno(_ body: () throws -> Void) -> Errno? {
        do { try body() } catch let error as VFSError { return error.errno } catch { return nil }
        return nil
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func anyRangeReadsAsWritten(_ seed: UInt64) throws {
        var random = SimRandom(seed: seed)
        var simulated = SimBlockDevice.Options()
        // So little room that commits are required all the time.
        simulated.commitRequiredAt = 3
        let device = SimBlockDevice(blocks: 64, simulated)
        var files = try BlockFS(device, options())
        var model = [UInt8](repeating: 0, count: 64 * blockBytes)
        func number(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
        for step in 0..<600 {
            let start = number(model.count)
            // Mostly small ones and whole blocks, which is what filesystems do.
            var range = start..<min(model.count, start + 1 + number(number(4) == 0 ? 40_000 : 3000))
            if number(3) == 0 {
                range =
                    range.lowerBound / blockBytes * blockBytes..<(range.upperBound + blockBytes - 1) / blockBytes
                    * blockBytes
            }
            switch number(5) {
            case 0, 1:
                let bytes = range.map { UInt8(truncatingIfNeeded: $0 ^ step) }
                #expect(try write(files, bytes, at: range.lowerBound) == bytes.count)
                model.replaceSubrange(range, with: bytes)
            case 2:
                let mode = [AllocationMode.punchHole, .zero, .zeroKeepingSize][number(3)]
                try files.allocate(disk, .none, UInt64(range.lowerBound)..<UInt64(range.upperBound), mode)
                model.replaceSubrange(range, with: [UInt8](repeating: 0, count: range.count))
            case 3: #expect(try read(files, range) == Array(model[range]), "seed \(seed), step \(step), \(range)")
            default:
                guard number(10) == 0 else { continue }
                // Power is lost behind an fsync: all of it is there.
                try files.commit(disk, dataOnly: true).wait()
                let crashed = device.crash()
                let after = try BlockFS(crashed, options())
                #expect(try read(after, 0..<model.count) == model, "seed \(seed), step \(step)")
            }
        }
        #expect(try read(files, 0..<model.count) == model)
        try files.close()
        files = try BlockFS(device.crash(), options())
        #expect(try read(files, 0..<model.count) == model)
    }

    /// Two that write different parts of one block both find their bytes in it.
    @Test func partsOfOneBlockAreNotLost() throws {
        let device = SimBlockDevice(blocks: 8)
        let files = try BlockFS(device, options())
        let threads = 4
        let rounds = 300
        let failures = ThreadRun.all(threads) { thread in
            for round in 0..<rounds {
                let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: 700)
                _ = try write(files, bytes, at: thread * 700)
                if thread == 0, round % 50 == 0 { try files.allocate(disk, .none, 3500..<12_000, .punchHole) }
                let seen = try read(files, thread * 700..<thread * 700 + 700)
                if seen != bytes { throw VFSError(.ioError, fault: "thread \(thread) lost round \(round)") }
            }
        }
        #expect(failures.isEmpty, "\(failures)")
    }

    @Test func theEndsAreWhereADiskHasThem() throws {
        let files = try BlockFS(SimBlockDevice(blocks: 4), options())
        let size = 4 * blockBytes
        #expect(try read(files, size - 10..<size + 10).count == 10)
        #expect(try read(files, size..<size + 10).isEmpty)
        #expect(try write(files, [UInt8](repeating: 1, count: 20), at: size - 10) == 10)
        #expect(errno { _ = try write(files, [1], at: size) } == .noSpace)
        #expect(
            errno { _ = try [1].withUnsafeBytes { try files.write(disk, .none, at: .end, $0, []) } } == .noSpace)
        #expect(errno { try files.allocate(disk, .none, 0..<UInt64(size + 1), .zero) } == .noSpace)
        try files.allocate(disk, .none, UInt64(size - 5)..<UInt64(size + 5), .punchHole)
        #expect(try read(files, size - 10..<size) == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
        #expect(errno { try files.allocate(disk, .none, 0..<4096, .allocate) } == .notSupported)
        var change = AttributeChange()
        change.size = 0
        #expect(errno { _ = try files.setAttributes(disk, change, by: .root) } == .notPermitted)
        #expect(errno { try files.remove(Name("disk"), in: files.root, .nonDirectory) } == .notPermitted)
        #expect(errno { _ = try files.lookup(Name("other"), in: files.root) } == .noSuchFileOrDirectory)
        #expect(try files.attributes(disk).size == UInt64(size))
    }

    @Test func failuresHaveTheirNumbers() throws {
        var simulated = SimBlockDevice.Options()
        simulated.physicalBlocks = 2
        let device = SimBlockDevice(blocks: 8, simulated)
        let files = try BlockFS(device, options())
        #expect(try write(files, [UInt8](repeating: 1, count: 2 * blockBytes), at: 0) == 2 * blockBytes)
        #expect(errno { _ = try write(files, [1], at: 5 * blockBytes) } == .noSpace)
        device.damage(LogicalBlock(1))
        #expect(errno { _ = try read(files, 0..<2 * blockBytes) } == .ioError)
        #expect(errno { _ = try write(files, [1], at: blockBytes + 1) } == .ioError)
        #expect(try read(files, 0..<10) == [UInt8](repeating: 1, count: 10))
        device.setFault(.commits("gone"))
        #expect(errno { try files.commit(nil, dataOnly: false).wait() } == .ioError)
        #expect(errno { _ = try write(files, [1], at: 0) } == .ioError)
        #expect(errno { try files.close() } == .ioError)
        #expect(try read(files, 0..<10) == [UInt8](repeating: 1, count: 10))
        var reading = SimBlockDevice.Options()
        reading.isReadOnly = true
        let readOnly = try BlockFS(SimBlockDevice(blocks: 8, reading), options())
        #expect(errno { _ = try readOnly.open(disk, [.read, .write]) } == .readOnlyFileSystem)
        #expect(errno { _ = try write(readOnly, [1], at: 0) } == .readOnlyFileSystem)
        try readOnly.close()
    }

    /// The device asks for a commit, and gets one without anybody's fsync.
    @Test func wishesForCommitsAreAnsweredAtOnce() throws {
        var simulated = SimBlockDevice.Options()
        simulated.commitWantedAt = 2
        let device = SimBlockDevice(blocks: 8, simulated)
        let files = try BlockFS(device, options())
        let block = [UInt8](repeating: 1, count: 4 * blockBytes)
        _ = try write(files, block, at: 0)
        try files.commit(disk, dataOnly: false).wait()
        let before = device.durableCommit
        _ = try write(files, block, at: 0)
        for _ in 0..<2000 where device.durableCommit == before { usleep(5000) }
        #expect(device.durableCommit > before)
        try files.close()
    }
}

/// Threads that run one body each to its end.
private enum ThreadRun {
    private final class Failures: @unchecked Sendable {
        // SAFETY: each thread has a place of its own, read after all were joined.
        var errors: [(any Error)?]
        init(_ count: Int) { errors = Array(repeating: nil, count: count) }
    }

    static func all(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) -> [any Error] {
        let failures = Failures(count)
        failures.errors.withUnsafeMutableBufferPointer { places in
            nonisolated(unsafe) let places = places
            let threads = (0..<count).map { index in
                HostThread {
                    do { try body(index) } catch { places[index] = error }
                }
            }
            for thread in threads { thread?.join() }
        }
        return failures.errors.compactMap { $0 }
    }
}
