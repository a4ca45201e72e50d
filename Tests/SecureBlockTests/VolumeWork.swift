import SimHost
import Testing

@testable import SecureBlock

/// Things that are done to a volume, each from opening it to closing it.
enum VolumeWork: String, CaseIterable, Sendable {
    case reading, writing, cleaning, keys, rotation, snapshots, growing, shrinking, history, checking, repairing

    static let blocks = 60

    /// A volume with a past: overwritten, with two key slots, a snapshot and history.
    struct Subject: Sendable {
        var contents: SparseBytes
        var anchor: AnchorValue?
        var model: [UInt64]
        var snapshot: [UInt64]

        init(isAnchored: Bool) throws {
            let host = CrashHost(), anchor = isAnchored ? MemoryAnchor() : nil
            try DeviceTesting.create(host, blocks: UInt64(VolumeWork.blocks), anchor: anchor)
            let device = try DeviceTesting.open(host, anchor: anchor, checkpointInterval: 24 * blockBytes)
            model = [UInt64](repeating: 0, count: VolumeWork.blocks)
            snapshot = model
            for step in 1...90 as ClosedRange<UInt64> {
                let block = Int(step * 7 % UInt64(VolumeWork.blocks))
                try DeviceTesting.writeWithCommits(device, UInt64(block), step)
                model[block] = step
                if step % 10 == 0 { try device.commit().wait() }
                if step == 30 {
                    snapshot = model
                    _ = try device.createSnapshot(DeviceTesting.name("kept"))
                }
            }
            try device.discard(LogicalBlock(20), count: 5)
            for block in 20..<25 { model[block] = 0 }
            try device.commit().wait()
            _ = try device.addKeySlot(DeviceTesting.keyFile(8))
            try device.close()
            contents = host.contents
            self.anchor = try anchor?.load()
        }

        /// With a copy of everything that there are two of damaged, and a segment given up.
        func damaged() throws -> Subject {
            let host = CrashHost(contents: contents)
            let device = try DeviceTesting.open(host, anchor: anchor.map { MemoryAnchor($0) })
            let place = try #require(try device.physicalLocation(of: LogicalBlock(7)))
            let segment = try #require(device.context.geometry.position(place)).segment
            device.monitor.locked { device.table[segment].state = .damaged }
            try DeviceTesting.write(device, 0, 999)
            try device.commit().wait()
            try device.checkpointNow()
            try device.close()
            var damaged = self
            damaged.model[0] = 999
            damaged.contents = host.contents
            damaged.anchor = nil
            SalvageSubject.destroy(
                &damaged.contents, [Layout.superblocks[1], Layout.rootSlots[0], Layout.keySlot(5)])
            return damaged
        }
    }
}

/// One run of a piece of work: what the volume may hold after it, whether it ended or failed.
final class VolumeRun {
    let host: CrashHost
    let anchor: FailingAnchor?
    private(set) var model: [UInt64]
    /// What commits that were ordered hold, oldest first.
    private(set) var states: [[UInt64]]
    /// Index of the newest that was promised.
    private(set) var acknowledged = 0
    private let subject: VolumeWork.Subject

    init(_ subject: VolumeWork.Subject) {
        self.subject = subject
        host = CrashHost(contents: subject.contents)
        anchor = subject.anchor.map { FailingAnchor($0) }
        model = subject.model
        states = [model]
    }

    func perform(_ work: VolumeWork) throws {
        switch work {
        case .reading: try read()
        case .checking: try check()
        case .repairing: try repair()
        default:
            let device = try DeviceTesting.open(host, anchor: anchor, checkpointInterval: 24 * blockBytes)
            // A device that fails is given up, as by a process that ends.
            try perform(work, device)
            try device.close()
        }
    }

    private func perform(_ work: VolumeWork, _ device: SecureDevice) throws {
        switch work {
        case .writing: try write(device, rounds: 1)
        case .cleaning: try write(device, rounds: 6)
        case .keys: try changeSlots(device)
        case .rotation: try rotate(device)
        case .snapshots: try takeSnapshots(device)
        case .growing: try grow(device)
        case .shrinking: try shrink(device)
        case .history: try keepHistory(device)
        case .reading, .checking, .repairing: break
        }
    }

    // MARK: the work

    private func read() throws {
        let device = try DeviceTesting.open(host, anchor: anchor, mode: .readOnly)
        for block in model.indices {
            #expect(try DeviceTesting.holds(device, UInt64(block), model[block]), "block \(block)")
        }
        try expectSnapshot(device, "kept", subject.snapshot)
        try device.close()
    }

    private func check() throws {
        let findings = try DeviceTesting.findings(host, anchor: anchor)
        // Something may follow from what cannot be read now; that is said first.
        #expect(
            findings.isEmpty || findings[0].message.contains("test") || findings[0].message.contains("EVP_"),
            "\(findings)")
    }

    private func repair() throws {
        var options = DeviceOptions()
        options.maintenance = .inline
        let repair = try VolumeRepair.open(
            host, credential: DeviceTesting.keyFile(), anchor: nil, options: options, findings: []
        ) { _ in }
        try repair.finish()
    }

    private func write(_ device: SecureDevice, rounds: UInt64) throws {
        for step in 1...rounds * UInt64(VolumeWork.blocks) {
            let block = step * 11 % UInt64(VolumeWork.blocks)
            do {
                try DeviceTesting.write(device, block, 1000 + step)
            } catch let error as DeviceError {
                guard DeviceTesting.isShortOfSpace(error) else { throw error }
                try commit(device)
                try DeviceTesting.write(device, block, 1000 + step)
            }
            model[Int(block)] = 1000 + step
            if step % 12 == 0 { try commit(device) }
        }
        try discard(device, from: 30, count: 4)
        try commit(device)
        #expect(try DeviceTesting.holds(device, 11, model[11]))
        try device.checkpointNow()
    }

    private func changeSlots(_ device: SecureDevice) throws {
        let slot = try device.addKeySlot(DeviceTesting.keyFile(9))
        _ = try device.addKeySlot(.passphrase(DeviceTesting.secret()), scrypt: .fast)
        try device.removeKeySlot(slot)
    }

    private func rotate(_ device: SecureDevice) throws {
        _ = try device.rotateVolumeKey(for: [DeviceTesting.keyFile(), DeviceTesting.keyFile(8)])
        _ = try device.reseal()
    }

    private func takeSnapshots(_ device: SecureDevice) throws {
        try change(device, 40, 500)
        _ = try device.createSnapshot(DeviceTesting.name("new"))
        let taken = model
        try change(device, 40, 501)
        try expectSnapshot(device, "new", taken)
        try device.deleteSnapshot(DeviceTesting.name("new"))
    }

    private func grow(_ device: SecureDevice) throws {
        model += [UInt64](repeating: 0, count: 50)
        states.append(model)
        try device.resize(toBlocks: UInt64(model.count))
        acknowledged = states.count - 1
        try change(device, 100, 700)
    }

    private func shrink(_ device: SecureDevice) throws {
        try device.deleteSnapshot(DeviceTesting.name("kept"))
        try discard(device, from: 36, count: 24)
        try commit(device)
        model = Array(model.prefix(36))
        states.append(model)
        try device.prepareResize(toBlocks: 36)
        try device.resize(toBlocks: 36)
        acknowledged = states.count - 1
    }

    private func keepHistory(_ device: SecureDevice) throws {
        try device.setHistoryPolicy(HistoryPolicy(bytes: 1 << 20))
        try change(device, 12, 800)
        #expect(try !device.history().isEmpty)
    }

    // MARK: steps

    private func change(_ device: SecureDevice, _ block: UInt64, _ value: UInt64) throws {
        try DeviceTesting.write(device, block, value)
        model[Int(block)] = value
        try commit(device)
    }

    private func discard(_ device: SecureDevice, from first: Int, count: Int) throws {
        try device.discard(LogicalBlock(UInt64(first)), count: UInt64(count))
        for block in first..<first + count { model[block] = 0 }
    }

    private func commit(_ device: SecureDevice) throws {
        let ticket = try device.commit()
        states.append(model)
        try ticket.wait()
        acknowledged = states.count - 1
    }

    private func expectSnapshot(_ device: SecureDevice, _ name: String, _ expected: [UInt64]) throws {
        let snapshot = try device.openSnapshot(DeviceTesting.name(name))
        // Closed also when a block cannot be read: the snapshot may be deleted then.
        defer { #expect(throws: Never.self) { try snapshot.close() } }
        for block in expected.indices {
            #expect(try DeviceTesting.holds(snapshot, UInt64(block), expected[block]), "\(name), block \(block)")
        }
    }

    // MARK: what is left

    /// The volume opens at one of the commits, none older than the last that was promised, and a check finds nothing.
    /// - Parameter leavesSegments: whether segments may have been given up.
    func expectSound(_ message: String, leavesSegments: Bool) throws {
        let left = MemoryBlockHost(contents: host.contents)
        let anchor = anchor.map { MemoryAnchor($0.value) }
        let device = try DeviceTesting.open(left, anchor: anchor)
        let found = try DeviceTesting.contents(device)
        let index = states.lastIndex { DeviceTesting.contents(of: $0) == found }
        #expect(index ?? -1 >= acknowledged, "\(message): \(index.map { "commit \($0)" } ?? "a mixture")")
        if device.snapshots.contains(where: { $0.name.description == "kept" }) {
            try expectSnapshot(device, "kept", subject.snapshot)
        }
        try device.checkInvariants()
        try device.close()
        let findings = try DeviceTesting.findings(MemoryBlockHost(contents: left.contents), anchor: anchor)
        // A segment that could not be read when it was to be cleaned is left alone.
        let others = findings.filter { $0.kind != "segment-damaged" || !leavesSegments }
        #expect(others.isEmpty, "\(message): \(others)")
    }
}
