import Foundation
import SimHost
import Testing

@testable import SecureBlock

/// A volume that is filled and then overwritten at random, over and over: neither errors nor hangs, and what the cleaner
/// costs. Small here; `scripts/aging` runs it at full size and draws the throughput.
@Suite struct DeviceAgingTests {
    struct Run: Sendable, CustomTestStringConvertible {
        var percent: UInt64
        /// Every block is committed by itself; otherwise the client commits when the device would like it.
        var commitsEach = false
        /// Nine of ten writes go to a tenth of the blocks.
        var isSkewed = false
        var weighsAge = true
        var testDescription: String {
            "\(percent)% full, \(isSkewed ? "skewed" : "uniform"), \(commitsEach ? "a commit each" : "packed")"
                + (weighsAge ? "" : ", age ignored")
        }
        var name: String {
            "\(percent)-\(isSkewed ? "skewed" : "uniform")-\(commitsEach ? "each" : "packed")"
                + (weighsAge ? "" : "-greedy")
        }
        /// The next block to overwrite.
        func next(_ filled: UInt64, _ generator: inout SimRandom) -> UInt64 {
            guard isSkewed else { return UInt64.random(in: 0..<filled, using: &generator) }
            // Every tenth block is hot, so that hot and cold ones lie together at first.
            let tenth = UInt64.random(in: 0..<filled / 10, using: &generator) * 10
            let isHot = UInt64.random(in: 0..<10, using: &generator) > 0
            return tenth + (isHot ? 0 : UInt64.random(in: 1..<10, using: &generator))
        }
    }

    private static let environment = ProcessInfo.processInfo.environment
    private static func number(_ name: String) -> UInt64? { environment[name].flatMap(UInt64.init) }

    static let runs = [80, 100].flatMap { percent in
        [
            Run(percent: percent), Run(percent: percent, weighsAge: false), Run(percent: percent, isSkewed: true),
            Run(percent: percent, isSkewed: true, weighsAge: false), Run(percent: percent, commitsEach: true),
        ]
    }.filter { run in
        environment["CASEMATE_AGING_RUNS"].map { $0.split(separator: " ").contains { $0 == run.name } } ?? true
    }

    @Test(arguments: runs)
    func overwrittenAtRandom(_ run: Run) throws {
        let volumeMebibytes = Self.number("CASEMATE_AGING_VOLUME_MIB") ?? 16
        let writtenMebibytes = Self.number("CASEMATE_AGING_WRITTEN_MIB") ?? 48
        let blocks = volumeMebibytes << 8, filled = blocks * run.percent / 100
        let host = MemoryBlockHost()
        try SecureDevice.create(
            on: host, DeviceTesting.options(blocks: blocks, segmentBlocks: volumeMebibytes < 256 ? 64 : 1024),
            credential: DeviceTesting.keyFile())
        var options = DeviceOptions()
        options.weighsAge = run.weighsAge
        let device = try SecureDevice.open(host, credential: DeviceTesting.keyFile(), options: options)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        DeviceTesting.fill(buffer.bytes, 1)
        for block in 0..<filled { try Self.write(device, block, buffer) }
        try device.commit().wait()
        let before = device.status.counters
        var generator = SimRandom(seed: run.percent), pace = Pace(points: 200, total: writtenMebibytes << 8)
        for step in 0..<writtenMebibytes << 8 {
            try Self.write(device, run.next(filled, &generator), buffer)
            // As clients do between operations, here of 128 blocks: when the device would like one, without waiting for it.
            if run.commitsEach {
                try device.commit().wait()
            } else if step % 128 == 0, device.commitWanted {
                _ = try device.commit()
            }
            pace.note()
        }
        try device.commit().wait()
        let after = device.status.counters
        let log = Double(after.logBlocks - before.logBlocks),
            moved = Double(after.relocatedBlocks - before.relocatedBlocks)
        let client = Double(after.clientBlocks - before.clientBlocks)
        print(
            "aging: \(volumeMebibytes) MiB, \(run.testDescription): \(writtenMebibytes) MiB overwritten, write amplification "
                + String(format: "%.2f (moved %.2f)", log / client, moved / client)
                + String(format: ", %.0f blocks/s, slowest step %.1f ms", pace.rate, pace.slowest * 1000)
                + ", \(pace.stalls) stalls over 50 ms, \(after.checkpoints - before.checkpoints) checkpoints")
        try pace.save(
            Self.environment["CASEMATE_AGING_FOLDER"], run.name)
        try device.checkInvariants()
        try device.close()
    }

    private static func write(_ device: SecureDevice, _ block: UInt64, _ buffer: AlignedBuffer) throws {
        for _ in 0..<100 {
            do { return try device.write(LogicalBlock(block), UnsafeRawBufferPointer(buffer.bytes)) } catch {
                guard error == .commitRequired else { throw error }
                try device.commit().wait()
            }
        }
        Issue.record("a hundred commits made no room")
    }

    /// Steps over time.
    private struct Pace {
        private let every: UInt64
        private var done: UInt64 = 0
        private let start = ContinuousClock.now
        private var last = ContinuousClock.now
        private var lastPoint = ContinuousClock.now
        private var points: [Double] = []
        private(set) var slowest = 0.0
        private(set) var stalls = 0

        init(points: UInt64, total: UInt64) { every = max(total / points, 1) }

        private static func seconds(_ duration: Duration) -> Double {
            Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
        }

        var rate: Double { Double(done) / max(Self.seconds(last - start), 1e-9) }

        mutating func note() {
            let now = ContinuousClock.now
            let step = Self.seconds(now - last)
            last = now
            done += 1
            slowest = max(slowest, step)
            if step > 0.05 { stalls += 1 }
            if done % every == 0 {
                points.append(Double(every) / max(Self.seconds(now - lastPoint), 1e-9))
                lastPoint = now
            }
        }

        /// One rate a line, blocks a second.
        func save(_ folder: String?, _ name: String) throws {
            guard let folder else { return }
            let text = points.map { String(format: "%.0f\n", $0) }.joined()
            try text.write(toFile: "\(folder)/\(name).rates", atomically: true, encoding: .utf8)
        }
    }
}
