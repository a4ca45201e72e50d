import SimHost
import Testing

@testable import SecureBlock

/// Small reads that go forward through the log take a window of it along; what they give stays what the log says.
@Suite struct ReadAheadTests {
    private static let blocks: UInt64 = 1000

    private func device(_ host: any BlockHost, seed: UInt64) throws -> SecureDevice {
        try DeviceTesting.filled(host, blocks: Self.blocks, segmentBlocks: 128) { seed + $0 }
    }

    @Test func aRowOfSmallReadsCostsFewHostReads() throws {
        let host = CountingHost(MemoryBlockHost())
        let device = try device(host, seed: 1)
        let before = host.reads
        for block in 0..<600 as Range<UInt64> { #expect(try DeviceTesting.holds(device, block, 1 + block)) }
        #expect(host.reads - before < 60)
        try device.close()
    }

    @Test func scatteredReadsTakeNothingAlong() throws {
        let host = CountingHost(MemoryBlockHost())
        let device = try device(host, seed: 1)
        let before = host.bytes
        var count = 0
        for step in 0..<300 as Range<UInt64> {
            let block = step * 7919 % 600
            #expect(try DeviceTesting.holds(device, block, 1 + block))
            count += 1
        }
        // Each block and, once, each record's header; a few windows where chance made a row.
        #expect(host.bytes - before < 3 * count * blockBytes)
        try device.close()
    }

    /// Blocks overwritten, committed and cleaned away between the reads of a row: their segments come into use again
    /// while windows of their earlier use are still kept.
    @Test func windowsOfAnEarlierUseAreNotRead() throws {
        let device = try device(MemoryBlockHost(), seed: 1)
        var model = (0..<Self.blocks).map { 1 + $0 }
        var generator = SimRandom(seed: 5)
        var next: UInt64 = 10_000
        for _ in 0..<60 {
            let start = UInt64.random(in: 0..<Self.blocks - 100, using: &generator)
            for block in start..<start + 100 { #expect(try DeviceTesting.holds(device, block, model[Int(block)])) }
            for _ in 0..<120 {
                let block = UInt64.random(in: 0..<Self.blocks, using: &generator)
                try DeviceTesting.write(device, block, next)
                model[Int(block)] = next
                next += 1
            }
            try device.commit().wait()
        }
        try device.checkInvariants()
        try device.close()
    }

    /// A window is the host's word: a block damaged before it was read is refused, its neighbours are not.
    @Test func aDamagedBlockOfAWindowIsRefusedAlone() throws {
        let host = MemoryBlockHost()
        let device = try device(host, seed: 1)
        let place = try #require(try device.physicalLocation(of: LogicalBlock(40)))
        host.tamper { contents in
            var byte: [UInt8] = [0]
            byte.withMutableRawBytes { contents.read(Int(place.rawValue) * blockBytes, into: $0) }
            contents.write(Int(place.rawValue) * blockBytes, [byte[0] ^ 1])
        }
        for block in 0..<80 as Range<UInt64> where block != 40 {
            #expect(try DeviceTesting.holds(device, block, 1 + block))
        }
        let buffer = AlignedBuffer(byteCount: blockBytes)
        #expect(throws: DeviceError.unreadable(LogicalBlock(40), .tagMismatch(place))) {
            try device.read(LogicalBlock(40), into: buffer.bytes)
        }
        #expect(buffer.bytes.allSatisfy { $0 == 0 })
        try device.close()
    }

    /// What cannot be read beside the wanted block is no reason to refuse it.
    @Test func aWindowThatFailsIsNoFailure() throws {
        let host = CountingHost(MemoryBlockHost())
        let device = try device(host, seed: 1)
        host.largest = 8 * blockBytes
        for block in 0..<200 as Range<UInt64> { #expect(try DeviceTesting.holds(device, block, 1 + block)) }
        try device.close()
    }
}
