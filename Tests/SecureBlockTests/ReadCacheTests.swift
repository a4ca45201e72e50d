import SimHost
import Testing

@testable import SecureBlock

/// A host's cache may lag behind what was written past it: it makes reads faster, never wrong, and never fail.
@Suite struct ReadCacheTests {
    /// A host whose cache gives what a test wants.
    private final class CachingHost: LentHost, @unchecked Sendable {
        enum Answer: Sendable { case zeros, stored, failure }
        private let state = Monitor((answer: Answer.stored, cached: 0, direct: 0))

        var answer: Answer {
            get { state.withLock { $0.answer } }
            set { state.change { $0.answer = newValue } }
        }
        var cachedReads: Int { state.withLock { $0.cached } }
        var directReads: Int { state.withLock { $0.direct } }

        override var cachesReads: Bool { true }
        override func readCached(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
            let answer = state.change { state in
                state.cached += 1
                return state.answer
            }
            switch answer {
            case .failure: throw .failed(call: "pread", errno: 5, offset: batch[0].offset)
            case .stored: try super.read(batch, each: isFull)
            case .zeros:
                for (index, read) in batch.enumerated() {
                    read.buffer.initializeMemory(as: UInt8.self, repeating: 0)
                    isFull(index)
                }
            }
        }
        override func read(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
            state.change { $0.direct += 1 }
            try super.read(batch, each: isFull)
        }
    }

    private static let blocks: UInt64 = 64

    /// A volume of blocks that were written, and opened again, so that nothing of it is in memory.
    private func volume(_ memory: MemoryBlockHost) throws -> (CachingHost, SecureDevice) {
        let host = CachingHost(memory)
        try DeviceTesting.create(host)
        let first = try DeviceTesting.open(host)
        for block in 0..<Self.blocks { try DeviceTesting.write(first, block, 1 + block) }
        try first.commit().wait()
        try first.close()
        return (host, try DeviceTesting.open(host))
    }

    @Test func smallReadsGoThroughTheCache() throws {
        let (host, device) = try volume(MemoryBlockHost())
        let before = host.directReads
        // Backwards: no row that reading ahead would follow.
        for block in (0..<Self.blocks).reversed() { #expect(try DeviceTesting.holds(device, block, 1 + block)) }
        #expect(host.cachedReads == Int(Self.blocks))
        // Pages of the map.
        #expect(host.directReads - before < 4)
        try device.close()
    }

    @Test(arguments: [false, true]) func aStaleCacheIsPassedBy(fails: Bool) throws {
        let (host, device) = try volume(MemoryBlockHost())
        host.answer = fails ? .failure : .zeros
        for block in (0..<Self.blocks).reversed() { #expect(try DeviceTesting.holds(device, block, 1 + block)) }
        #expect(host.cachedReads == Int(Self.blocks))
        try device.close()
    }

    /// What only the cache has right is not right: the host's own word counts when the cache's is refused, and damage is told.
    @Test func damageIsToldOnce() throws {
        let memory = MemoryBlockHost()
        let (host, device) = try volume(memory)
        let place = try #require(try device.physicalLocation(of: LogicalBlock(9)))
        memory.tamper { contents in contents.write(Int(place.rawValue) * blockBytes, [1, 2, 3, 4, 5, 6, 7, 8]) }
        let buffer = AlignedBuffer(byteCount: blockBytes)
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: 7)
        let before = (cached: host.cachedReads, direct: host.directReads)
        #expect(throws: DeviceError.unreadable(LogicalBlock(9), .tagMismatch(place))) {
            try device.read(LogicalBlock(9), into: buffer.bytes)
        }
        #expect(buffer.bytes.allSatisfy { $0 == 0 })
        #expect(host.cachedReads == before.cached + 1)
        // The block, and perhaps a page of the map.
        #expect((1...2).contains(host.directReads - before.direct))
        #expect(try DeviceTesting.holds(device, 10, 11))
        try device.close()
    }

    /// A check asks what is stored, not what a cache still has.
    @Test func aCheckReadsPastTheCache() throws {
        let memory = MemoryBlockHost()
        let (host, device) = try volume(memory)
        let name = try #require(SnapshotName("check"))
        _ = try device.createSnapshot(name)
        let view = try device.openSnapshot(name, pastCache: true)
        for block in (0..<Self.blocks).reversed() { #expect(try DeviceTesting.holds(view, block, 1 + block)) }
        #expect(host.cachedReads == 0)
        try view.close()
        let usual = try device.openSnapshot(name)
        #expect(try DeviceTesting.holds(usual, 20, 21))
        #expect(host.cachedReads == 1)
        try usual.close()
        try device.close()
    }

    @Test func largeReadsGoPastTheCache() throws {
        let (host, device) = try volume(MemoryBlockHost())
        host.answer = .zeros
        let buffer = AlignedBuffer(byteCount: 16 * blockBytes)
        try device.read(LogicalBlock(0), into: buffer.bytes)
        #expect(host.cachedReads == 0)
        try device.close()
    }

    /// On a real file: what is read through the page cache is what was last written past it, also where the log came by again.
    @Test func aFileIsReadAsItIs() throws {
        let scratch = try Scratch()
        let host = try FileBlockHost.create(path: scratch.file("volume"))
        try DeviceTesting.create(host)
        let device = try DeviceTesting.open(host, background: true)
        var model = [UInt64](repeating: 0, count: 256)
        var random = SimRandom(seed: 3)
        for step in 1...4000 as ClosedRange<UInt64> {
            let block = UInt64.random(in: 0..<256, using: &random)
            try DeviceTesting.writeWithCommits(device, block, step)
            model[Int(block)] = step
            if step % 64 == 0 { try device.commit().wait() }
            let other = UInt64.random(in: 0..<256, using: &random)
            #expect(try DeviceTesting.holds(device, other, model[Int(other)]))
        }
        try device.checkInvariants()
        try device.close()
        host.close()
    }

    @Test func aRegionIsWorthReadingOnceManyReadsCameThere() {
        let reads = ScatteredReads()
        let region = ScatteredReads.regionBytes
        for _ in 1..<ScatteredReads.enough { #expect(reads.note(5 * region + 4096) == nil) }
        #expect(reads.note(6 * region) == nil)
        #expect(reads.note(6 * region - 4096) == 5 * region)
        // Once.
        for _ in 0..<300 { #expect(reads.note(5 * region) == nil) }
        // Another region in its place has it forgotten.
        #expect(reads.note(5 * region + UInt64(ScatteredReads.regionLimit) * region) == nil)
        for _ in 1..<ScatteredReads.enough { #expect(reads.note(5 * region) == nil) }
        #expect(reads.note(5 * region) == 5 * region)
    }

    @Test func noOffsetIsTooLarge() {
        let reads = ScatteredReads()
        for _ in 0..<10 { _ = reads.note(.max) }
        #expect(reads.note(0) == nil)
    }
}
