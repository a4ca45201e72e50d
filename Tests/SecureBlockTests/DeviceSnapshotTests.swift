import SimHost
import Testing

@testable import SecureBlock

/// A small device, its model, and what its snapshots promised.
final class SnapshotWorkload {
    var host: MemoryBlockHost
    var device: SecureDevice
    var model: [UInt64]
    var committed: [UInt64]
    var snapshots: [SnapshotName: [UInt64]] = [:]
    /// What each of the client's commits holds; the device's own are the same states again.
    private(set) var states: [(commit: SequenceNumber, blocks: [UInt64])] = []
    /// Delete snapshots when a write finds no space.
    var givesUpSnapshots = false
    private(set) var generator: SimRandom
    private var value: UInt64 = 0
    private let returnsFreeSpace: Bool

    init(
        seed: UInt64, blocks: Int = 120, segmentBlocks: Int = 16, sparePerMille: Int = 3000,
        history: HistoryPolicy = .none, returnsFreeSpace: Bool = false
    ) throws {
        self.returnsFreeSpace = returnsFreeSpace
        generator = SimRandom(seed: seed)
        model = [UInt64](repeating: 0, count: blocks)
        committed = model
        host = MemoryBlockHost()
        var options = DeviceTesting.options(blocks: UInt64(blocks), segmentBlocks: segmentBlocks)
        options.sparePerMille = sparePerMille
        options.history = history
        try SecureDevice.create(on: host, options, credential: DeviceTesting.keyFile())
        device = try DeviceTesting.open(
            host, checkpointInterval: 40 * blockBytes, returnsFreeSpace: returnsFreeSpace)
    }

    func random(_ range: Range<Int>) -> Int { Int.random(in: range, using: &generator) }

    func write(_ index: Int) throws {
        for attempt in 0... {
            do {
                try DeviceTesting.write(device, UInt64(index), value + 1)
                break
            } catch let error as DeviceError {
                guard DeviceTesting.isShortOfSpace(error), attempt < 8 else { throw error }
                try commit()
                guard attempt > 4, givesUpSnapshots, let name = device.snapshots.first?.name else { continue }
                try device.deleteSnapshot(name)
                snapshots[name] = nil
            }
        }
        value += 1
        model[index] = value
    }

    func commit() throws {
        let ticket = try device.commit()
        try ticket.wait()
        committed = model
        states.append((ticket.sequence, model))
    }

    /// Some writes, discards and commits.
    func churn(_ steps: Int) throws {
        for _ in 0..<steps {
            switch random(0..<10) {
            case 0:
                let first = random(0..<model.count), count = min(random(1..<20), model.count - first)
                try device.discard(LogicalBlock(UInt64(first)), count: UInt64(count))
                for index in first..<first + count { model[index] = 0 }
            case 1, 2: try commit()
            default: try write(random(0..<model.count))
            }
        }
    }

    /// Opens the volume again, after a clean end or a cut.
    func reopen(isCut: Bool) throws {
        let cut = host.contents
        try device.close()
        host = MemoryBlockHost(contents: isCut ? cut : host.contents)
        device = try DeviceTesting.open(
            host, checkpointInterval: 40 * blockBytes, returnsFreeSpace: returnsFreeSpace)
        // What was not committed is gone either way.
        model = committed
    }

    /// What a commit must hold.
    func state(_ commit: SequenceNumber) -> [UInt64] {
        states.last { $0.commit <= commit }?.blocks ?? [UInt64](repeating: 0, count: model.count)
    }

    func check() throws {
        for (name, state) in snapshots {
            let opened = try device.openSnapshot(name)
            #expect(try DeviceTesting.contents(opened) == DeviceTesting.contents(of: state), "snapshot \(name)")
            try opened.checkInvariants()
            try opened.close()
        }
        #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model))
    }

    /// What the check says of the volume as it is stored.
    func findings() throws -> [VolumeFinding] {
        try DeviceTesting.findings(MemoryBlockHost(contents: host.contents))
    }
}

extension DeviceTesting {
    /// What a check of everything finds, but for notes.
    static func findings(_ host: any BlockHost, anchor: (any Anchor)? = nil) throws -> [VolumeFinding] {
        final class Found { var list: [VolumeFinding] = [] }
        let found = Found()
        var options = VolumeCheck.Options()
        options.readsData = true
        _ = try VolumeCheck.run(
            host, credential: keyFile(), anchor: anchor, options: options, progress: { _, _ in },
            report: { found.list.append($0) })
        return found.list.filter { $0.severity > .note }
    }

    static func name(_ text: String) throws -> SnapshotName { try #require(SnapshotName(text)) }
}

@Suite struct DeviceSnapshotTests {
    @Test func snapshotKeepsWhatIsOverwrittenAndDiscarded() throws {
        let work = try SnapshotWorkload(seed: 1)
        for index in 0..<60 { try work.write(index) }
        try work.commit()
        let name = try DeviceTesting.name("before")
        let made = try work.device.createSnapshot(name)
        work.snapshots[name] = work.model
        for _ in 0..<4 {
            for index in 0..<60 { try work.write(index) }
            try work.commit()
        }
        try work.device.discard(LogicalBlock(0), count: 60)
        for index in 0..<60 { work.model[index] = 0 }
        try work.commit()
        try work.check()
        #expect(try work.findings().isEmpty)
        // By its commit, too, and with nothing else open.
        try work.reopen(isCut: false)
        for mode in [OpenMode.snapshot(name), .readOnlyAt(made.commit)] {
            let device = try DeviceTesting.open(MemoryBlockHost(contents: work.host.contents), mode: mode)
            #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: work.snapshots[name] ?? []))
            #expect(throws: DeviceError.readOnly) { try DeviceTesting.write(device, 1, 1) }
            try device.close()
        }
        try work.device.close()
    }

    @Test func deletedSnapshotGivesItsSpaceBack() throws {
        let work = try SnapshotWorkload(seed: 2)
        for index in 0..<100 { try work.write(index) }
        try work.commit()
        let before = work.device.status.reusableSegments
        let name = try DeviceTesting.name("kept")
        _ = try work.device.createSnapshot(name)
        try work.device.discard(LogicalBlock(0), count: UInt64(work.model.count))
        try work.device.commit().wait()
        try work.device.checkpointNow()
        let held = work.device.status.reusableSegments
        try work.device.deleteSnapshot(name)
        #expect(work.device.status.reusableSegments > held + 5)
        #expect(work.device.status.reusableSegments >= before)
        #expect(work.device.snapshots.isEmpty)
        #expect((0..<work.device.context.geometry.segmentCount).allSatisfy { work.device.table[$0].pins == 0 })
        #expect(try work.findings().isEmpty)
        #expect(throws: SnapshotError.noSuchSnapshot(name)) { try work.device.deleteSnapshot(name) }
        #expect(throws: VolumeError.noSuchSnapshot(name)) {
            try DeviceTesting.open(MemoryBlockHost(contents: work.host.contents), mode: .snapshot(name))
        }
        try work.device.close()
    }

    /// Snapshots made and deleted among random work, cleaning, clean ends and cuts.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func snapshotsEqualTheModel(seed: UInt64) throws {
        let work = try SnapshotWorkload(seed: seed)
        work.givesUpSnapshots = true
        for round in 0..<60 {
            try work.churn(work.random(5..<40))
            switch work.random(0..<6) {
            case 0, 1:
                guard work.snapshots.count < 3 else { continue }
                try work.commit()
                let name = try DeviceTesting.name("round \(round)")
                do {
                    _ = try work.device.createSnapshot(name)
                    work.snapshots[name] = work.model
                } catch SnapshotError.noSpace {}
            case 2, 3:
                guard let name = work.device.snapshots.first?.name else { continue }
                try work.commit()
                try work.device.deleteSnapshot(name)
                work.snapshots[name] = nil
            case 4: try work.reopen(isCut: work.random(0..<2) == 0)
            default: try work.device.checkInvariants()
            }
            if round % 10 == 9 {
                try work.check()
                #expect(try work.findings().isEmpty, "round \(round)")
            }
        }
        try work.device.close()
    }

    /// A device that a snapshot and overwriting have filled refuses writes, commits, and is free once it is deleted.
    @Test func fullOfSnapshotRefusesAndRecovers() throws {
        let work = try SnapshotWorkload(seed: 4, blocks: 1500, sparePerMille: 100)
        for index in 0..<1500 { try work.write(index) }
        try work.commit()
        let name = try DeviceTesting.name("pin")
        _ = try work.device.createSnapshot(name)
        work.snapshots[name] = work.model
        var refused: DeviceError?
        for step in 0..<4000 where refused == nil {
            do { try work.write(step % 1500) } catch let error as DeviceError { refused = error }
        }
        #expect(refused == .noSpace)
        // Commits still go through, again and again.
        for _ in 0..<50 { try work.commit() }
        #expect(throws: SnapshotError.noSpace) {
            try work.device.createSnapshot(DeviceTesting.name("another"))
        }
        try work.check()
        try work.device.deleteSnapshot(name)
        work.snapshots = [:]
        for step in 0..<4000 { try work.write(step * 7 % 1500) }
        try work.commit()
        try work.check()
        #expect(work.device.status.latch == nil)
        try work.device.close()
    }

    @Test func onlyTheClientCommits() throws {
        let work = try SnapshotWorkload(seed: 5)
        try work.write(1)
        let name = try DeviceTesting.name("x")
        #expect(throws: SnapshotError.uncommittedChanges) { try work.device.createSnapshot(name) }
        #expect(work.device.snapshots.isEmpty)
        try work.commit()
        _ = try work.device.createSnapshot(name)
        try work.write(1)
        #expect(throws: SnapshotError.uncommittedChanges) { try work.device.deleteSnapshot(name) }
        #expect(work.device.snapshots.map(\.name) == [name])
        #expect(throws: SnapshotError.nameTaken(name)) { try work.device.createSnapshot(name) }
        try work.commit()
        let open = try work.device.openSnapshot(name)
        #expect(throws: SnapshotError.inUse(name)) { try work.device.deleteSnapshot(name) }
        try open.close()
        try work.device.deleteSnapshot(name)
        try work.device.close()
    }

    @Test func thereAreAtMostSoMany() throws {
        let work = try SnapshotWorkload(seed: 6, blocks: 400, segmentBlocks: 64, sparePerMille: 10000)
        for number in 0..<SecureDevice.maximumSnapshots {
            if number % 16 == 0 {
                try work.write(number % 100)
                try work.commit()
            }
            let name = try DeviceTesting.name("\(number)")
            _ = try work.device.createSnapshot(name)
            if number % 16 == 5 { work.snapshots[name] = work.model }
        }
        #expect(throws: SnapshotError.tooMany) { try work.device.createSnapshot(DeviceTesting.name("more")) }
        try work.reopen(isCut: true)
        try work.check()
        #expect(try work.findings().isEmpty)
        for number in 0..<SecureDevice.maximumSnapshots {
            try work.device.deleteSnapshot(DeviceTesting.name("\(number)"))
        }
        #expect(try work.findings().isEmpty)
        try work.device.close()
    }

    @Test func namesAreChecked() {
        for name in [
            "", ".", ".hidden", "-f", "a/b", "line\nbreak", "nul\0", "\u{202E}evil",
            String(repeating: "x", count: 65),
        ] {
            #expect(SnapshotName(name) == nil, "\(name)")
        }
        for name in ["a", "before update", "2026-01-01T00:00", "Ärger", String(repeating: "x", count: 64)] {
            #expect(SnapshotName(name)?.text == name)
        }
        // Equivalent to Unicode, different in bytes.
        #expect(SnapshotName("\u{e9}") != SnapshotName("e\u{301}"))
    }

    /// Pins and list that disagree are found.
    @Test func wrongPinsAreFound() throws {
        let work = try SnapshotWorkload(seed: 7)
        for index in 0..<100 { try work.write(index) }
        try work.commit()
        _ = try work.device.createSnapshot(DeviceTesting.name("s"))
        let pinned = try #require(
            (0..<work.device.context.geometry.segmentCount).first { work.device.table[$0].pins > 0 })
        work.device.table[pinned].pins = 0
        try work.device.checkpointNow()
        #expect(try work.findings().map(\.kind) == ["pins"])
        #expect(try work.findings().map(\.severity) == [.error])
        work.device.table[pinned].pins = 3
        try work.device.checkpointNow()
        #expect(try work.findings().map(\.severity) == [.warning])
        try work.device.close()
    }
}
