import Foundation
import SimHost
import Testing

@testable import SecureBlock

/// Many threads at once, for seconds, or for as long as `CASEMATE_STRESS_SECONDS` says; meant for the thread sanitizer.
@Suite struct DeviceStressTests {
    private static let threads = 8, own: UInt64 = 400, shared: UInt64 = 200

    private static var seconds: Double {
        ProcessInfo.processInfo.environment["CASEMATE_STRESS_SECONDS"].flatMap(Double.init) ?? 2
    }

    /// Each thread holds its own blocks against its model. What it finds in blocks that all write to must be one whole
    /// value that somebody wrote there, or nothing.
    @Test func threadsMixEverything() throws {
        let host = MemoryBlockHost(), anchor = MemoryAnchor()
        let blocks = UInt64(Self.threads) * Self.own + Self.shared
        try DeviceTesting.create(host, blocks: blocks, segmentBlocks: 64, anchor: anchor)
        let device = try DeviceTesting.open(
            host, anchor: anchor, checkpointInterval: 400 * blockBytes, background: true,
            mapCacheBytes: 8 * blockBytes)
        let end = ContinuousClock.now + .seconds(Self.seconds)
        let models = Monitor([[UInt64]](repeating: [], count: Self.threads)), operations = Monitor(0)
        let workers = try (0..<Self.threads).map { index in
            try #require(
                HostThread {
                    do {
                        var worker = Worker(
                            device, index, own: Self.own, sharedFrom: UInt64(Self.threads) * Self.own)
                        while ContinuousClock.now < end { try worker.step(shared: Self.shared) }
                        let (model, count) = (worker.model, worker.count)
                        models.change { $0[index] = model }
                        operations.change { $0 += count }
                    } catch { Issue.record("thread \(index): \(error)") }
                })
        }
        for worker in workers { worker.join() }
        try device.commit().wait()
        try device.checkInvariants()
        let all = models.withLock { $0.flatMap { $0 } }
        for (block, value) in all.enumerated() {
            #expect(try DeviceTesting.holds(device, UInt64(block), value), "block \(block)")
        }
        let counters = device.status.counters, contents = try DeviceTesting.contents(device)
        print(
            "stress: \(operations.withLock { $0 }) operations of \(Self.threads) threads in \(Self.seconds) s, "
                + "\(counters.commits) commits, \(counters.checkpoints) checkpoints")
        try device.close()
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents), anchor: anchor)
        #expect(try DeviceTesting.contents(again) == contents)
        try again.checkInvariants()
        try again.close()
    }

    private struct Worker {
        let device: SecureDevice
        let index: Int
        let base: UInt64
        let sharedFrom: UInt64
        var model: [UInt64]
        var generator: SimRandom
        var count = 0
        let buffer = AlignedBuffer(byteCount: 8 * blockBytes)

        init(_ device: SecureDevice, _ index: Int, own: UInt64, sharedFrom: UInt64) {
            self.device = device
            self.index = index
            base = UInt64(index) * own
            self.sharedFrom = sharedFrom
            model = Array(repeating: 0, count: Int(own))
            generator = SimRandom(seed: UInt64(index) + 1)
        }

        mutating func step(shared: UInt64) throws {
            count += 1
            let length = Int.random(in: 1...8, using: &generator)
            let first = Int.random(in: 0...model.count - length, using: &generator)
            let common = sharedFrom + UInt64.random(in: 0..<shared, using: &generator)
            switch Int.random(in: 0..<24, using: &generator) {
            case 0: try device.commit().wait()
            case 1:
                try device.discard(LogicalBlock(base + UInt64(first)), count: UInt64(length))
                for block in first..<first + length { model[block] = 0 }
            case 2: try device.discard(LogicalBlock(common), count: 1)
            case 3...7: try write(common, [value(common)])
            case 8...11: try checkCommon(common)
            case 12...16:
                let part = buffer.slice(0, length * blockBytes)
                try device.read(LogicalBlock(base + UInt64(first)), into: part)
                for block in 0..<length {
                    let found = buffer.slice(block * blockBytes, blockBytes)
                    let expected = model[first + block]
                    #expect(Self.value(in: found) == expected, "thread \(index), block \(first + block)")
                }
            default:
                let values = (0..<length).map { value(base + UInt64(first + $0)) }
                try write(base + UInt64(first), values)
                for (offset, value) in values.enumerated() { model[first + offset] = value }
            }
        }

        private func value(_ block: UInt64) -> UInt64 { block << 40 | UInt64(index + 1) << 32 | UInt64(count) }

        private func write(_ first: UInt64, _ values: [UInt64]) throws {
            for (offset, value) in values.enumerated() {
                DeviceTesting.fill(buffer.slice(offset * blockBytes, blockBytes), value)
            }
            for _ in 0..<100 {
                do {
                    let part = buffer.slice(0, values.count * blockBytes)
                    return try device.write(LogicalBlock(first), UnsafeRawBufferPointer(part))
                } catch {
                    guard DeviceTesting.isShortOfSpace(error) else { throw error }
                    try device.commit().wait()
                }
            }
            Issue.record("no space after a hundred commits")
        }

        private func checkCommon(_ block: UInt64) throws {
            let part = buffer.slice(0, blockBytes)
            try device.read(LogicalBlock(block), into: part)
            let found = Self.value(in: part)
            #expect(
                found == 0 || found.map { $0 >> 40 == block } ?? false, "thread \(index), shared block \(block)")
        }

        /// The value that fills a block, `nil` for a mixture.
        private static func value(in block: UnsafeMutableRawBufferPointer) -> UInt64? {
            let start = block.loadUnaligned(fromByteOffset: 0, as: UInt64.self)
            let isZero = start == 0
            for index in 0..<block.count / 8 {
                let word = block.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
                guard word == (isZero ? 0 : start &+ UInt64(index)) else { return nil }
            }
            // The inverse of the factor of `fill`, modulo 2^64, by Newton's steps.
            var inverse: UInt64 = 0x9E37_79B9_7F4A_7C15
            for _ in 0..<6 { inverse = inverse &* (2 &- 0x9E37_79B9_7F4A_7C15 &* inverse) }
            return start &* inverse
        }
    }
}
