import Foundation
import Testing

@testable import SecureBlock

/// A volume that is filled and then overwritten at random, over and over: neither errors nor hangs, and what the cleaner
/// costs. Small here; `scripts/aging` runs it at full size and draws the throughput.
@Suite struct DeviceAgingTests {
    struct Run: Sendable, CustomTestStringConvertible {
        var percent: UInt64
        /// Every block is committed by itself; otherwise the client commits when the device says that it must.
        var commitsEach: Bool
        var testDescription: String { "\(percent)% full, \(commitsEach ? "a commit each" : "packed")" }
    }

    private static let environment = ProcessInfo.processInfo.environment
    private static func number(_ name: String) -> UInt64? { environment[name].flatMap(UInt64.init) }

    static let runs = [80, 100].flatMap { percent in
        [Run(percent: percent, commitsEach: false), Run(percent: percent, commitsEach: true)]
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
        let device = try SecureDevice.open(host, credential: DeviceTesting.keyFile())
        let buffer = AlignedBuffer(byteCount: blockBytes)
        DeviceTesting.fill(buffer.bytes, 1)
        for block in 0..<filled { try Self.write(device, block, buffer) }
        try device.commit().wait()
        let before = device.status.counters
        var generator = SeededGenerator(run.percent), pace = Pace(points: 200, total: writtenMebibytes << 8)
        for _ in 0..<writtenMebibytes << 8 {
            try Self.write(device, UInt64.random(in: 0..<filled, using: &generator), buffer)
            if run.commitsEach { try device.commit().wait() }
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
            Self.environment["CASEMATE_AGING_FOLDER"], "\(run.percent)-\(run.commitsEach ? "each" : "packed")")
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
