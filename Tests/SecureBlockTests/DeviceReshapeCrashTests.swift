import SimHost
import Testing

@testable import SecureBlock

/// A run of commits and of changes that only roots hold, and what was promised at each moment of it.
private final class Reshaping {
    struct Promise {
        var commit: UInt64
        var snapshots: Set<SnapshotName>
        var policy: HistoryPolicy
        var logicalBlocks: UInt64
    }

    let host = CrashHost()
    private(set) var device: SecureDevice
    var model: [UInt64]
    /// What each of the client's commits holds; the device's own are the same states again.
    private var states: [(commit: UInt64, blocks: [UInt64])] = []
    private var snapshots: [SnapshotName: [UInt64]] = [:]
    private var promises: [Promise] = []
    private var value: UInt64 = 0
    private var generator: SimRandom
    let firstEvent: Int
    /// When the size was changing.
    private(set) var resizing: [Range<Int>] = []

    init(seed: UInt64, blocks: Int = 60) throws {
        generator = SimRandom(seed: seed)
        model = [UInt64](repeating: 0, count: blocks)
        try DeviceTesting.create(host, blocks: UInt64(blocks))
        firstEvent = host.eventCount
        states = [(1, model)]
        device = try DeviceTesting.open(host, checkpointInterval: 24 * blockBytes)
        promise()
    }

    private func promise() {
        promises.append(
            Promise(
                commit: states.last?.commit ?? 1, snapshots: Set(device.snapshots.map(\.name)),
                policy: device.historyPolicy, logicalBlocks: device.logicalBlockCount))
        host.mark(UInt64(promises.count - 1))
    }

    func churn(_ steps: Int) throws {
        for _ in 0..<steps {
            let first = Int.random(in: 0..<model.count, using: &generator)
            for index in first..<min(first + Int.random(in: 1...4, using: &generator), model.count) {
                value += 1
                try DeviceTesting.write(device, UInt64(index), value)
                model[index] = value
            }
            if Int.random(in: 0..<3, using: &generator) == 0 { try commit() }
        }
        try commit()
    }

    func commit() throws {
        let ticket = try device.commit()
        states.append((ticket.sequence.rawValue, model))
        try ticket.wait()
        promise()
    }

    func create(_ text: String) throws {
        let name = try DeviceTesting.name(text)
        snapshots[name] = model
        _ = try device.createSnapshot(name)
        promise()
    }

    func delete(_ text: String) throws {
        try device.deleteSnapshot(DeviceTesting.name(text))
        promise()
    }

    func keep(_ policy: HistoryPolicy) throws {
        try device.setHistoryPolicy(policy)
        promise()
    }

    /// Gives up what is behind the new end first, as a client must.
    func resize(_ blocks: UInt64) throws {
        let old = device.logicalBlockCount
        let start = host.eventCount
        defer { resizing.append(start..<host.eventCount + 1) }
        if blocks < old {
            try device.discard(LogicalBlock(blocks), count: old - blocks)
            for index in Int(blocks)..<model.count { model[index] = 0 }
            try commit()
        }
        try device.resize(toBlocks: blocks)
        model = Array(model.prefix(Int(blocks))) + Array(repeating: 0, count: max(0, Int(blocks) - model.count))
        #expect(try host.byteCount() == device.context.geometry.volumeBytes)
        try device.checkInvariants()
        promise()
    }

    /// Opens every image, holds it against what was promised, and closes it again.
    func checkEveryCrash(seed: UInt64, every stride: Int = 1, during ranges: [Range<Int>]? = nil) throws -> Int {
        #expect(host.violations.isEmpty)
        var images = 0
        let events = (ranges ?? [firstEvent..<host.eventCount + 1]).joined().enumerated()
        for (number, event) in events where number % stride == 0 {
            for image in host.crashImages(at: event, .thorough(seed: seed)) {
                images += 1
                try check(image)
            }
        }
        return images
    }

    private func check(_ image: CrashImage) throws {
        let host = image.makeHost()
        let device: SecureDevice
        do {
            device = try DeviceTesting.open(host)
        } catch {
            Issue.record("\(image): does not open: \(error)")
            return
        }
        let floor = image.lastMark.map { promises[Int($0)] }
        let next = image.lastMark.map { promises[min(Int($0) + 1, promises.count - 1)] } ?? promises[0]
        let opened = device.facts.recoveredFrom.sequence.rawValue
        #expect(opened >= floor?.commit ?? 1, "\(image)")
        guard let state = states.last(where: { $0.commit <= opened })?.blocks else {
            Issue.record("\(image): opened commit \(opened)")
            return
        }
        var expected = Array(state.prefix(Int(device.logicalBlockCount)))
        expected += [UInt64](repeating: 0, count: Int(device.logicalBlockCount) - expected.count)
        #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: expected), "\(image): a mixture")
        let size = device.logicalBlockCount
        #expect(
            size == floor?.logicalBlocks ?? next.logicalBlocks || size == next.logicalBlocks, "\(image): \(size)")
        // What a call under way was to change has happened or not; all else is as before.
        let names = Set(device.snapshots.map(\.name))
        #expect(names == floor?.snapshots ?? [] || names == next.snapshots, "\(image): \(names)")
        let policy = device.historyPolicy
        #expect(policy == floor?.policy ?? .none || policy == next.policy, "\(image): \(policy)")
        for name in names {
            let snapshot = try device.openSnapshot(name)
            let state = try #require(snapshots[name])
            let holds = try DeviceTesting.contents(snapshot) == DeviceTesting.contents(of: state)
            #expect(holds, "\(image): snapshot \(name)")
            try snapshot.close()
        }
        try device.checkInvariants()
        try device.close()
        let findings = try DeviceTesting.findings(MemoryBlockHost(contents: host.contents))
        #expect(findings.isEmpty, "\(image)")
    }
}

/// A crash at every event of changes that only roots hold: each has happened whole, or not at all.
@Suite struct DeviceReshapeCrashTests {
    @Test(arguments: [1, 2] as [UInt64])
    func snapshotExistsWholeOrNotAtAll(seed: UInt64) throws {
        let run = try Reshaping(seed: seed)
        try run.churn(8)
        try run.create("first")
        try run.churn(12)
        try run.create("second")
        try run.churn(4)
        try run.delete("first")
        try run.churn(12)
        try run.delete("second")
        try run.churn(4)
        let images = try run.checkEveryCrash(seed: seed)
        print("crash images of snapshots, seed \(seed): \(images)")
        #expect(images > 500)
    }

    /// From one size to others and back, over page and level borders of the trees: 60 blocks are a leaf, 4200 nine and an
    /// interior page.
    @Test(
        arguments: [
            ([200, 60], 1), ([90, 30, 100], 1), ([80, 100, 120, 140, 160, 180], 1), ([4200, 50], 5),
        ] as [([UInt64], Int)])
    func sizeChangesWholeOrNotAtAll(sizes: [UInt64], stride: Int) throws {
        let run = try Reshaping(seed: 11)
        for size in sizes {
            // Until no segment is fresh but those that come with growing, which are then taken first.
            for _ in 0..<40 where run.device.status.neverUsedSegments > 0 { try run.churn(5) }
            try run.resize(size)
        }
        let images = try run.checkEveryCrash(seed: 11, every: stride, during: run.resizing)
        print("crash images of sizes \(sizes): \(images)")
        #expect(images > 50)
    }

    @Test func historyPolicyChangesWholeOrNotAtAll() throws {
        let run = try Reshaping(seed: 7)
        try run.churn(6)
        try run.keep(HistoryPolicy(seconds: 3600))
        try run.churn(6)
        try run.keep(HistoryPolicy(bytes: 1 << 20, isStrict: true))
        try run.churn(3)
        try run.keep(.none)
        let images = try run.checkEveryCrash(seed: 7)
        print("crash images of history policies: \(images)")
        #expect(images > 200)
    }
}
