import SimHost
import Testing

@testable import SecureBlock

/// Rows of large reads, which have what follows read before it is asked for; what they give stays what the device holds.
@Suite struct StreamAheadTests {
    private static let blocks: UInt64 = 2000

    private func device(_ host: any BlockHost) throws -> SecureDevice {
        try DeviceTesting.filled(host, blocks: Self.blocks, segmentBlocks: 128, background: true, value: expected)
    }

    /// A gap reads as zeros.
    private func expected(_ block: UInt64) -> UInt64 { block / 50 == 7 ? 0 : 1 + block }

    private func check(_ buffer: AlignedBuffer, first: UInt64, _ model: (UInt64) -> UInt64) throws {
        let wanted = AlignedBuffer(byteCount: blockBytes)
        for index in 0..<buffer.bytes.count / blockBytes {
            DeviceTesting.fill(wanted.bytes, model(first + UInt64(index)))
            #expect(
                buffer.slice(index * blockBytes, blockBytes).elementsEqual(wanted.bytes),
                "block \(first + UInt64(index))")
        }
    }

    @Test(arguments: [32, 100, 256, 512, 513] as [UInt64]) func rowsEqualTheModel(_ piece: UInt64) throws {
        let device = try device(MemoryBlockHost())
        for _ in 0..<3 {
            var first: UInt64 = 0
            while first < Self.blocks {
                let count = min(piece, Self.blocks - first)
                let buffer = AlignedBuffer(byteCount: Int(count) * blockBytes)
                try device.read(LogicalBlock(first), into: buffer.bytes)
                try check(buffer, first: first, expected)
                first += count
            }
        }
        try device.close()
    }

    /// What lies ahead of the row is overwritten, cleaned away and its segments used again before the row comes to it.
    @Test func whatIsOverwrittenAheadIsReadAsItIsNow() throws {
        let device = try device(MemoryBlockHost())
        var model = (0..<Self.blocks).map(expected)
        var generator = SimRandom(seed: 9)
        var next: UInt64 = 10_000
        for _ in 0..<12 {
            for first in stride(from: 0, to: Self.blocks, by: 40) {
                let buffer = AlignedBuffer(byteCount: 40 * blockBytes)
                try device.read(LogicalBlock(first), into: buffer.bytes)
                try check(buffer, first: first) { model[Int($0)] }
                for _ in 0..<60 {
                    let block = UInt64.random(in: 0..<Self.blocks, using: &generator)
                    try DeviceTesting.writeWithCommits(device, block, next)
                    model[Int(block)] = next
                    next += 1
                }
                try device.commit().wait()
            }
        }
        try device.close()
    }

    @Test func severalRowsAtOnceEqualTheModel() throws {
        let device = try device(MemoryBlockHost())
        let outcomes = (0..<4).map { reader in
            TestThread.Outcome<Void> {
                for _ in 0..<6 {
                    for first in stride(from: UInt64(reader) * 40, to: Self.blocks - 40, by: 40) {
                        let buffer = AlignedBuffer(byteCount: 40 * blockBytes)
                        try device.read(LogicalBlock(first), into: buffer.bytes)
                        try self.check(buffer, first: first, self.expected)
                    }
                }
            }
        }
        for outcome in outcomes { try outcome.wait() }
        try device.close()
    }

    /// A device may be closed in the middle of a row, also of one that has just been left.
    @Test(arguments: [true, false]) func aRowMayEndAnywhere(_ turnsBack: Bool) throws {
        for length in 1...8 as ClosedRange<UInt64> {
            let device = try device(MemoryBlockHost())
            let buffer = AlignedBuffer(byteCount: 64 * blockBytes)
            for index in 0..<length { try device.read(LogicalBlock(index * 64), into: buffer.bytes) }
            if turnsBack { try device.read(LogicalBlock(0), into: buffer.bytes) }
            try device.close()
            #expect(throws: DeviceError.closed) { try device.read(LogicalBlock(length * 64), into: buffer.bytes) }
        }
    }

    @Test func aHostThatFailsAheadFailsTheReadAlone() throws {
        let host = CountingHost(MemoryBlockHost())
        let device = try device(host)
        let buffer = AlignedBuffer(byteCount: 64 * blockBytes)
        for index in 0..<3 as Range<UInt64> { try device.read(LogicalBlock(index * 64), into: buffer.bytes) }
        host.largest = 0
        var failures = 0
        for index in 3..<12 as Range<UInt64> {
            do { try device.read(LogicalBlock(index * 64), into: buffer.bytes) } catch { failures += 1 }
        }
        #expect(failures > 0)
        host.largest = .max
        for index in 0..<12 as Range<UInt64> {
            try device.read(LogicalBlock(index * 64), into: buffer.bytes)
            try check(buffer, first: index * 64, expected)
        }
        try device.close()
    }
}
