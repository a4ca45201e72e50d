import SimHost
import Testing

@testable import SecureBlock

@Suite struct VolumeRepairTests {
    private let blocks: UInt64 = 700

    private func volume() throws -> (SparseBytes, [UInt64]) {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: blocks)
        let device = try DeviceTesting.open(host, checkpointInterval: 100 * blockBytes)
        var generator = SimRandom(seed: 5)
        var model = [UInt64](repeating: 0, count: Int(blocks))
        for value in 1...600 as ClosedRange<UInt64> {
            let block = Int.random(in: 0..<model.count, using: &generator)
            model[block] = value
            try DeviceTesting.write(device, UInt64(block), value)
            if value % 20 == 0 { try device.commit().wait() }
        }
        try device.commit().wait()
        try device.close()
        return (host.contents, model)
    }

    private func check(_ host: any BlockHost) throws -> [VolumeFinding] {
        var findings: [VolumeFinding] = []
        var options = VolumeCheck.Options()
        options.readsData = true
        options.memoryBytes = 16 * 8 * 5
        _ = try VolumeCheck.run(
            host, credential: DeviceTesting.keyFile(), anchor: nil, options: options, progress: { _, _ in },
            report: { findings.append($0) })
        return findings.filter { $0.severity != .note }
    }

    /// Checks, repairs, commits, closes: as `fsck --repair` does. What it said, and what it left.
    private func repair(_ host: any BlockHost) throws -> (said: [String], left: [String]) {
        var findings: [VolumeFinding]?
        do { findings = try check(host) } catch VolumeError.corrupt { findings = nil }
        var said: [String] = []
        var options = DeviceOptions()
        options.maintenance = .inline
        let repair = try VolumeRepair.open(
            host, credential: DeviceTesting.keyFile(), anchor: nil, options: options, findings: findings
        ) { said.append($0) }
        try repair.device.commit().wait()
        try repair.device.checkInvariants()
        try repair.finish()
        return (said, repair.left)
    }

    private func expectContents(_ image: SparseBytes, _ model: [UInt64], lost: Set<Int> = []) throws {
        let device = try DeviceTesting.open(MemoryBlockHost(contents: image), mode: .readOnly)
        for block in model.indices {
            do {
                #expect(try DeviceTesting.holds(device, UInt64(block), model[block]) && !lost.contains(block))
            } catch { #expect(lost.contains(block), "block \(block): \(error)") }
        }
    }

    @Test(arguments: [0, 1])
    func copiesAreWrittenAnew(copy: Int) throws {
        let (sound, model) = try volume()
        for block in [Layout.superblocks[copy], Layout.rootSlots[copy]] {
            var image = sound
            SalvageSubject.destroy(&image, [block])
            let host = MemoryBlockHost(contents: image)
            let (said, left) = try repair(host)
            #expect(said.count == 1 && said[0].contains("copy \(copy)") || said[0].contains("slot \(copy)"))
            #expect(left.isEmpty)
            let repaired = MemoryBlockHost(contents: host.contents)
            #expect(try check(repaired).isEmpty)
            try expectContents(host.contents, model)
        }
    }

    /// Any opening for writing heals a superblock, as it holds the key; and says so.
    @Test func writersHealCopies() throws {
        let (sound, _) = try volume()
        var image = sound
        SalvageSubject.destroy(&image, [Layout.superblocks[1], Layout.rootSlots[0]])
        let host = MemoryBlockHost(contents: image)
        let reader = try DeviceTesting.open(MemoryBlockHost(contents: image), mode: .readOnly)
        #expect(reader.status.damagedSuperblocks == [1] && !reader.status.areCopiesHealed)
        let device = try DeviceTesting.open(host)
        #expect(device.status.damagedSuperblocks == [1] && device.status.damagedRoots == [0])
        #expect(device.status.areCopiesHealed)
        try device.close()
        #expect(try check(MemoryBlockHost(contents: host.contents)).isEmpty)
    }

    @Test func emptyKeySlotsAreMendedAndOthersNamed() throws {
        let (sound, _) = try volume()
        var image = sound
        SalvageSubject.destroy(&image, [Layout.keySlot(3)])
        let host = MemoryBlockHost(contents: image)
        let (said, left) = try repair(host)
        #expect(said == ["key slot 3: was empty, written empty again"] && left.isEmpty)
        #expect(try check(MemoryBlockHost(contents: host.contents)).isEmpty)

        let other = MemoryBlockHost(contents: sound)
        let device = try DeviceTesting.open(other)
        let slot = try device.addKeySlot(DeviceTesting.keyFile(8))
        try device.close()
        var damaged = other.contents
        SalvageSubject.destroy(&damaged, [Layout.keySlot(slot)])
        let again = MemoryBlockHost(contents: damaged)
        let outcome = try repair(again)
        #expect(outcome.said.isEmpty && outcome.left.count == 1 && outcome.left[0].contains("key slot \(slot)"))
    }

    /// The segment table gone, as a whole or a page of it: made anew, with all data there.
    @Test(arguments: [true, false])
    func tablesAreMadeAnew(isWhole: Bool) throws {
        let (sound, model) = try volume()
        let unlocked = try UnlockedVolume(
            MemoryBlockHost(contents: sound), credential: DeviceTesting.keyFile(), forWriting: false)
        var image = sound
        let pages = unlocked.slots.flatMap { $0.root.tableTop.filter(\.exists).map(\.block.rawValue) }
        SalvageSubject.destroy(&image, isWhole ? pages : [pages[0]])
        let host = MemoryBlockHost(contents: image)
        let (said, left) = try repair(host)
        #expect(said.contains { $0.contains("segment table") } && left.isEmpty)
        #expect(try check(MemoryBlockHost(contents: host.contents)).isEmpty)
        try expectContents(host.contents, model)
        // And the volume goes on: it can be filled and cleaned.
        let device = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        for round in 0..<3 as Range<UInt64> {
            for block in 0..<blocks {
                do { try DeviceTesting.write(device, block, round * 1000 + block + 1) } catch {
                    guard DeviceTesting.isShortOfSpace(error) else { throw error }
                    try device.commit().wait()
                    try DeviceTesting.write(device, block, round * 1000 + block + 1)
                }
            }
            try device.commit().wait()
        }
        try device.checkInvariants()
        for block in 0..<blocks { #expect(try DeviceTesting.holds(device, block, 2000 + block + 1)) }
        try device.close()
    }

    /// A segment that the cleaner gave up comes free; what cannot be read in it stays an error.
    @Test func damagedSegmentsComeFree() throws {
        let (sound, model) = try volume()
        let host = MemoryBlockHost(contents: sound)
        let device = try DeviceTesting.open(host)
        let victim = try #require(try device.blocks(in: [5, 6, 7]).first)
        let place = try #require(try device.physicalLocation(of: victim))
        let segment = try #require(device.context.geometry.position(place)).segment
        device.monitor.locked { device.table[segment].state = .damaged }
        try DeviceTesting.write(device, 0, 9999)
        try device.commit().wait()
        try device.checkpointNow()
        try device.close()
        var image = host.contents
        SalvageSubject.destroy(&image, [place.rawValue])
        var expected = model
        expected[0] = 9999
        let damaged = MemoryBlockHost(contents: image)
        let (said, left) = try repair(damaged)
        #expect(said.count == 2 && left.isEmpty, "\(said) \(left)")
        #expect(try check(MemoryBlockHost(contents: damaged.contents)).isEmpty)
        try expectContents(damaged.contents, expected, lost: [Int(victim.rawValue)])
    }

    /// A crash at every write of a repair: what opens is all there, and a second repair mends it.
    @Test(arguments: [0, 1, 2])
    func crashesInsideRepairLoseNothing(damage: Int) throws {
        let (sound, model) = try volume()
        var image = sound
        let unlocked = try UnlockedVolume(
            MemoryBlockHost(contents: sound), credential: DeviceTesting.keyFile(), forWriting: false)
        switch damage {
        case 0: SalvageSubject.destroy(&image, [Layout.superblocks[0], Layout.rootSlots[1], Layout.keySlot(2)])
        case 1:
            SalvageSubject.destroy(
                &image, unlocked.slots.flatMap { $0.root.tableTop.filter(\.exists).map(\.block.rawValue) })
        default: SalvageSubject.destroy(&image, [Layout.superblocks[1]])
        }
        let host = CrashHost(contents: image)
        _ = try repair(host)
        var images = 0
        for event in stride(from: 0, to: host.eventCount, by: damage == 1 ? 3 : 2) {
            for crash in host.crashImages(at: event, CrashPolicy.thorough(seed: UInt64(event))).prefix(2) {
                let again = crash.makeHost()
                let (_, left) = try repair(again)
                #expect(left.isEmpty)
                let device = try DeviceTesting.open(again.reopened(), mode: .readOnly)
                #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model), "event \(event)")
                images += 1
            }
        }
        #expect(images > 5)
    }
}

extension MemoryBlockHost {
    /// The same contents, after the device closed its host.
    fileprivate func reopened() -> MemoryBlockHost { MemoryBlockHost(contents: contents) }
}
