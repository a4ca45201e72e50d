import SimHost
import Testing

@testable import SecureBlock

/// Volumes whose size says nothing of what is in them: work and memory follow what was stored.
@Suite struct SalvageVastTests {
    /// A map with as many leaves as there may be, of which a root names one.
    @Test func aTreeTakesWhatExists() throws {
        let leafCount = 1 << 29
        let counts = PageTree.levelCounts(leafCount: leafCount)
        let pointer = PagePointer(
            block: PhysicalBlock(9), generation: Generation(1), epochIndex: 0, tag: .zero)
        let page = AlignedBuffer(byteCount: blockBytes)
        var writer = ByteWriter(page.bytes)
        pointer.write(to: &writer)
        let top = [pointer] + [PagePointer](repeating: .none, count: counts[counts.count - 1] - 1)
        var reads = 0
        let tree = try PartialTree(.mapPage, leafCount: leafCount, top: top) { _, _ in
            reads += 1
            return UnsafeRawBufferPointer(page.bytes)
        }
        #expect(tree.stored.map(\.leaf) == [0] && tree.pointer(0) == pointer && tree.pointer(1) == nil)
        #expect(reads == counts.count - 1 && tree.unknown.isEmpty)
        let blind = try PartialTree(.mapPage, leafCount: leafCount, top: top) { _, _ in nil }
        #expect(blind.unknown.ranges.map { $0 } == [0..<128 * 128 * 128 * 128] && blind.lost.count == 1)
        let topless = try PartialTree(.mapPage, leafCount: leafCount, top: []) { _, _ in nil }
        #expect(topless.unknown.contains(leafCount - 1))
    }

    /// Of runs of leaves the newest counts, leaf for leaf.
    @Test func theNewestRunCounts() {
        for seed in 1...200 as ClosedRange<UInt64> {
            var generator = SimRandom(seed: seed)
            var runs = LeafRuns()
            var model = [(isLost: Bool, sequence: UInt64)?](repeating: nil, count: 60)
            for _ in 0..<Int.random(in: 0..<12, using: &generator) {
                let first = Int.random(in: 0..<60, using: &generator)
                let end = Int.random(in: first...60, using: &generator)
                let isLost = Bool.random(using: &generator)
                let sequence = UInt64.random(in: 1..<8, using: &generator)
                runs.note(first..<end, isLost: isLost, SequenceNumber(sequence))
                for leaf in first..<end where sequence >= model[leaf]?.sequence ?? 0 {
                    model[leaf] = (isLost, sequence)
                }
            }
            let (discarded, lost) = runs.resolved()
            for leaf in model.indices {
                #expect(lost.contains(leaf) == (model[leaf]?.isLost == true), "seed \(seed), leaf \(leaf)")
                #expect(discarded.contains(leaf) == (model[leaf]?.isLost == false), "seed \(seed), leaf \(leaf)")
            }
        }
    }

    enum Damage: CaseIterable { case none, roots, upperPages, allPages }

    /// 8 GiB with some hundred blocks, a part of it discarded after the last checkpoint: they come back, and nothing else is
    /// lost or there.
    @Test(arguments: Damage.allCases)
    func aVastVolumeIsSalvaged(damage: Damage) throws {
        let blocks: UInt64 = 1 << 21
        var host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: blocks, segmentBlocks: 1024)
        var model: [UInt64: UInt64] = [:]
        var device = try DeviceTesting.open(host)
        for index in 0..<300 as Range<UInt64> {
            model[index * (blocks / 300) + index] = index + 1
        }
        for (block, value) in model.sorted(by: { $0.key < $1.key }) {
            try DeviceTesting.writeWithCommits(device, block, value)
        }
        try device.commit().wait()
        try device.close()
        host = MemoryBlockHost(contents: host.contents)
        device = try DeviceTesting.open(host)
        let discarded = 1000..<blocks / 3
        try device.discard(LogicalBlock(discarded.lowerBound), count: UInt64(discarded.count))
        for block in [5000, blocks / 2, blocks - 1] { try DeviceTesting.writeWithCommits(device, block, block) }
        try device.commit().wait()
        var image = host.contents
        try device.close()
        model = model.filter { !discarded.contains($0.key) }
        for block in [5000, blocks / 2, blocks - 1] { model[block] = block }

        try destroy(damage, in: &image)
        let run = try SalvageRun(image)
        #expect(run.report.lostBlocks == 0 && run.report.missingRecords == 0, "\(run.report)")
        for (block, value) in model where try run.block(block, is: value) != .value {
            Issue.record("block \(block) is not \(value)")
        }
        for block in discarded where block % 10_019 == 0 && model[block] == nil {
            #expect(try run.block(block, is: 0) == .value)
        }
        #expect(run.report.recoveredBlocks == UInt64(model.count))
    }

    /// A record missing: what it may have changed is lost, wherever nothing newer tells, also where the map had nothing; what
    /// a later record discarded, leaves of it at once, is empty.
    @Test func aMissingRecordLosesWhatNothingTells() throws {
        let blocks: UInt64 = 1 << 17
        var host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: blocks, segmentBlocks: 64)
        var device = try DeviceTesting.open(host)
        let gone: UInt64 = 70_000, discarded = 1000..<20_000 as Range<UInt64>, last: UInt64 = 30_000
        try DeviceTesting.write(device, 3, 3)
        for block in discarded where block % 500 == 0 { try DeviceTesting.write(device, block, block) }
        try device.commit().wait()
        try device.close()
        host = MemoryBlockHost(contents: host.contents)
        device = try DeviceTesting.open(host)
        try DeviceTesting.write(device, gone, gone)
        try device.commit().wait()
        try device.discard(LogicalBlock(discarded.lowerBound), count: UInt64(discarded.count))
        try device.commit().wait()
        try DeviceTesting.write(device, last, last)
        try device.commit().wait()
        var image = host.contents
        try destroy(in: &image, with: .header) { $0.kind == .data && $0.address == gone }

        let run = try SalvageRun(image)
        #expect(run.report.missingRecords == 1 && run.report.recoveredBlocks == 2)
        for (block, value) in [(3, 3), (last, last)] as [(UInt64, UInt64)] {
            #expect(try run.block(block, is: value) == .value)
        }
        for block in discarded where block % 500 == 0 {
            #expect(try run.block(block, is: 0) == .value, "block \(block)")
        }
        // A discard names what was there, no more.
        for block in [gone, 999, 1001, 20_000, 20_480, last + 1, blocks - 1] {
            #expect(try run.block(block, is: 0) == .lost, "block \(block)")
        }
        #expect(run.report.lostBlocks == blocks - 38 - 2)
    }

    private func destroy(_ damage: Damage, in image: inout SparseBytes) throws {
        switch damage {
        case .none: return
        case .roots: SalvageSubject.destroy(&image, SalvageSubject.roots)
        case .upperPages: try destroy(in: &image, with: .block) { $0.kind == .mapPage && $0.association.level > 0 }
        case .allPages: try destroy(in: &image, with: .block) { $0.kind == .mapPage }
        }
    }

    private enum Part { case header, block }

    /// Destroys all blocks whose entry is `isWanted`, or the headers of their records.
    private func destroy(in image: inout SparseBytes, with part: Part, _ isWanted: (RecordEntry) -> Bool) throws {
        let source = try SalvageSource(
            MemoryBlockHost(contents: image), credential: DeviceTesting.keyFile(), segmentBytes: nil)
        let scan = RecordScan(source)
        var places: [UInt64] = []
        try scan.run({ _, _ in }) { header in
            let first = source.geometry.physical(header.position).rawValue
            for (slot, entry) in header.entries.enumerated() where isWanted(entry) {
                places.append(part == .header ? first : first + 1 + UInt64(slot))
            }
        }
        #expect(!places.isEmpty)
        SalvageSubject.destroy(&image, places)
    }
}
