import SecureBlock
import SimHost
import Synchronization
import Testing
import VFS

@testable import EncFS

#if canImport(Glibc)
    import Glibc
#endif

func nap(milliseconds: UInt32) { usleep(milliseconds * 1000) }

@Suite struct SpaceTests {
    /// Fill, fail with ENOSPC, delete, fill again: always the same amount fits, and `statfs` told the truth.
    @Test(arguments: [4096, 16384])
    func aFullFilesystemStillDeletes(nodeBytes: Int) throws {
        let device = try freshDevice(blocks: 4096, nodeBytes: nodeBytes)
        let files = try EncFS(mounting: device, .quiet)
        let promised = try files.statistics().availableBlocks
        var amounts: [UInt64] = []
        for round in 0..<3 {
            let node = try files.make("big \(round)")
            var offset: UInt64 = 0
            let chunk = pattern(100_000, seed: 1)
            var failure: Errno?
            while failure == nil {
                var count = 0
                failure = errno { count = try files.write(chunk, to: node, at: offset) }
                offset += UInt64(count)
            }
            #expect(failure == .noSpace)
            amounts.append(offset)
            #expect(offset / 4096 + 40 >= promised, "\(offset / 4096) of \(promised) blocks")
            #expect(try files.statistics().availableBlocks < 40)
            // Small files until nothing goes, not even a name.
            var made = 0
            while errno({ try files.make("small \(made)") }) == nil { made += 1 }
            try files.sync()
            #expect(try findings(device.crash(), readData: false) == [])
            for index in 0..<made { try files.remove(Name("small \(index)"), in: files.root, .nonDirectory) }
            try files.setSize(5000, of: node)
            try files.remove(Name("big \(round)"), in: files.root, .nonDirectory)
        }
        #expect(amounts.allSatisfy { $0 + (400 << 10) > amounts[0] }, "\(amounts)")
        try files.close()
        #expect(try findings(device) == [])
        // What was freed was discarded as well.
        #expect(device.liveBlocks < 60, "\(device.liveBlocks)")
    }

    /// The device asks for commits and gets them before it has to insist.
    @Test func commitPressureIsAnswered() throws {
        var options = SimBlockDevice.Options()
        options.commitWantedAt = 200
        options.commitRequiredAt = 800
        options.keepsHistory = false
        let device = try freshDevice(blocks: 8192, options)
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("f")
        var expected = pattern(2 << 20, seed: 1)
        try files.write(expected, to: node, at: 0)
        try files.sync()
        let before = device.counters.commits
        for round in 0..<12 {
            let bytes = pattern(1 << 20, seed: UInt64(round))
            let offset = round % 8 * 131_072
            #expect(try files.write(bytes, to: node, at: UInt64(offset)) == bytes.count)
            expected.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        }
        #expect(device.counters.commits >= before + 10)
        #expect(try files.read(node, count: 3 << 20) == expected)
        try files.close()
        #expect(try findings(device) == [])
    }

    /// A write or truncation that the device refuses until it gets a commit goes through after one.
    @Test func commitRequiredIsAnsweredByACommit() throws {
        let device = try freshDevice(blocks: 8192)
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("f")
        var expected = pattern(600_000, seed: 1)
        try files.write(expected, to: node, at: 0)
        try files.sync()
        for round in 0..<10 {
            let before = device.counters.commits
            device.setFault(.oneWriteAfter(0, .commitRequired))
            if round % 3 == 2 {
                let size = 600_000 - round * 1000 - 1
                try files.setSize(UInt64(size), of: node)
                expected.removeLast(expected.count - size)
            } else {
                let bytes = pattern(50_000, seed: UInt64(round))
                let offset = round * 50_000 + 77
                try files.write(bytes, to: node, at: UInt64(offset))
                expected.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            }
            #expect(device.counters.commits == before + 1)
            #expect(try files.read(node, count: 1 << 20) == expected)
        }
        try files.close()
        #expect(try findings(device) == [])
    }

    /// A device that fills up under us: errors, and nothing half done.
    @Test func deviceWithoutSpaceKeepsFilesWhole() throws {
        for count in 0..<12 {
            let device = try freshDevice(blocks: 8192)
            let files = try EncFS(mounting: device, .quiet)
            let node = try files.make("f")
            try files.write(pattern(10_000, seed: 9), to: node, at: 0)
            device.setFault(.oneWriteAfter(count % 3, .noSpace))
            let bytes = pattern(3 << 20, seed: 2)
            var written = 0
            let failure = errno { written = try files.write(bytes, to: node, at: 9000) }
            device.setFault(nil)
            #expect(failure == nil || failure == .noSpace)
            let size = try files.attributes(node).size
            #expect(size == UInt64(written == 0 ? 10_000 : max(10_000, 9000 + written)))
            try files.setSize(size + 5000, of: node)
            let content = try files.read(node, count: 8 << 20)
            #expect(Array(content.prefix(9000)) == Array(pattern(10_000, seed: 9).prefix(9000)))
            #expect(Array(content[9000..<9000 + written]) == Array(bytes.prefix(written)))
            #expect(content[Int(size)...].allSatisfy { $0 == 0 })
            try files.close()
            #expect(try findings(device) == [])
        }
    }

    @Test func fallocateReservesAndPunches() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("f")
        try files.write(pattern(1000, seed: 1), to: node, at: 0)
        try files.allocate(node, .none, 0..<200_000, .allocateKeepingSize)
        #expect(try files.attributes(node).size == 1000)
        #expect(try files.attributes(node).blocks512 == 49 * 8)
        #expect(try files.read(node, count: 2000) == pattern(1000, seed: 1))
        try files.allocate(node, .none, 100_000..<300_000, .allocate)
        #expect(try files.attributes(node).size == 300_000)
        let content = pattern(300_000, seed: 2)
        try files.write(content, to: node, at: 0)
        var expected = content
        for (range, mode) in [
            (10..<20, AllocationMode.punchHole), (5000..<30_000, .punchHole), (100_000..<108_192, .zero),
            (40_960..<49_152, .punchHole), (290_000..<310_000, .zeroKeepingSize),
        ] as [(Range<UInt64>, AllocationMode)] {
            try files.allocate(node, .none, range, mode)
            for index in Int(range.lowerBound)..<min(300_000, Int(range.upperBound)) { expected[index] = 0 }
            #expect(try files.read(node, count: 400_000) == expected, "\(range)")
        }
        #expect(try files.seek(node, .none, from: 8192, to: .data) == 28_672)
        #expect(try files.seek(node, .none, from: 0, to: .hole) == 8192)
        let small = try files.make("small")
        try files.write(pattern(600, seed: 3), to: small, at: 0)
        try files.allocate(small, .none, 100..<200, .punchHole)
        #expect(try files.dataBlocks(of: small).isEmpty)
        // Not 0: that would be one hole to tar.
        #expect(try files.attributes(small).blocks512 == 2)
        #expect(try files.read(small, at: 100, count: 100) == [UInt8](repeating: 0, count: 100))
        #expect(errno { try files.allocate(node, .none, 0..<100, .collapse) } == .invalidArgument)
        let before = try files.attributes(node)
        #expect(errno { try files.allocate(node, .none, 0..<(1 << 40), .allocate) } == .noSpace)
        #expect(try files.attributes(node) == before)
        try files.close()
        #expect(try findings(device) == [])
    }

    /// Threads that share directories and files, with commits running; afterwards everything fits together.
    @Test func threadsLeaveASoundFilesystem() async throws {
        var options = SimBlockDevice.Options()
        options.commitWantedAt = 300
        options.keepsHistory = false
        let device = try freshDevice(blocks: 32768, nodeBytes: 4096, options)
        var mount = EncFS.MountOptions()
        mount.commitIntervalMilliseconds = 3
        mount.nodeCacheBytes = 1 << 20
        let files = try EncFS(mounting: device, mount)
        let shared = try files.make("shared", kind: .directory)
        let common = try files.make("common")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<6 {
                group.addTask { try work(files, worker, shared, common) }
            }
            try await group.waitForAll()
        }
        #expect(try files.attributes(common).size % 3000 == 0)
        try files.close()
        #expect(try findings(device) == [])
        let again = try EncFS(mounting: device, .quiet)
        #expect(try again.names(in: again.find("shared")).count == 6 * 10)
        for worker in 0..<6 {
            let node = try again.find("file \(worker)")
            #expect(try again.read(node, count: 1 << 20) == pattern(300_000, seed: UInt64(worker)))
        }
        try again.close()
    }
}

/// What one thread does: its own file, names in a shared directory, appends to a shared file, commits.
private func work(_ files: EncFS, _ worker: Int, _ shared: NodeID, _ common: NodeID) throws {
    let own = try files.make("file \(worker)")
    let content = pattern(300_000, seed: UInt64(worker))
    for round in 0..<30 {
        let low = round * 10_000
        try files.write(Array(content[low..<low + 10_000]), to: own, at: UInt64(low))
        let name = "w\(worker) n\(round)"
        _ = try files.make(name, in: shared)
        if round % 3 == 1 {
            try files.rename(Name(name), in: shared, to: Name(name + "r"), in: shared, [])
        } else if round % 3 == 2 {
            try files.remove(Name(name), in: shared, .nonDirectory)
            try files.remove(Name("w\(worker) n\(round - 1)r"), in: shared, .nonDirectory)
        }
        let block = [UInt8](repeating: UInt8(worker), count: 3000)
        _ = try block.withUnsafeBytes { try files.write(common, .none, at: .end, $0, []) }
        let back = try files.read(common, count: 3000 * 200)
        for start in stride(from: 0, to: back.count - 2999, by: 3000) {
            guard back[start..<start + 3000].allSatisfy({ $0 == back[start] }) else {
                Issue.record("an append was torn at \(start)")
                return
            }
        }
        if round % 7 == worker { try files.sync() }
    }
}

/// More bitmaps than stay in memory.
@Suite struct ManyBitmapTests {
    @Test func bitmapsThatAreNotNeededAreLetGo() throws {
        // 2,200 groups of 128 MiB; 2,048 of them are kept.
        let device = try freshDevice(blocks: 2200 * Superblock.groupBlocks)
        let files = try EncFS(mounting: device, .quiet)
        let before = try files.statistics()
        let file = try files.make("large")
        try files.allocate(file, .none, 0..<2150 << 27, .allocate)
        try files.sync()
        #expect(before.freeBlocks - (try files.statistics().freeBlocks) >= 2150 << 15)
        try files.remove(Name("large"), in: files.root, .nonDirectory)
        try files.sync()
        #expect(try files.statistics().freeBlocks > before.freeBlocks - 1000)
        try files.close()
        #expect(try findings(device, readData: false) == [])
    }
}
