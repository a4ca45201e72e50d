import SimHost
import Testing

@testable import SecureBlock

/// A host that shows old records, records of a clone, or garbage: salvage ends, mixes nothing, and hides nothing.
@Suite struct SalvageHostileTests {
    /// Goes on from an image for one opening; values from `base` on.
    private func grow(_ image: SparseBytes, _ model: inout [UInt64], from base: UInt64, seed: UInt64) throws
        -> SparseBytes
    {
        let host = MemoryBlockHost(contents: image)
        let device = try DeviceTesting.open(host, checkpointInterval: 150 * blockBytes)
        var generator = SimRandom(seed: seed)
        for step in 0..<60 as Range<UInt64> {
            let block = Int.random(in: 0..<model.count, using: &generator)
            model[block] = base + step
            try DeviceTesting.write(device, UInt64(block), model[block])
            if step % 7 == 0 { try device.commit().wait() }
        }
        try device.commit().wait()
        return host.contents
    }

    private func image(blocks: UInt64 = 400) throws -> (SparseBytes, [UInt64]) {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: blocks)
        var model = [UInt64](repeating: 0, count: Int(blocks))
        let first = try grow(host.contents, &model, from: 1000, seed: 1)
        return (try grow(first, &model, from: 2000, seed: 2), model)
    }

    private func copy(_ range: Range<Int>, from source: SparseBytes, to target: inout SparseBytes) {
        let buffer = AlignedBuffer(byteCount: range.count * blockBytes)
        source.read(range.lowerBound * blockBytes, into: buffer.bytes)
        target.write(range.lowerBound * blockBytes, UnsafeRawBufferPointer(buffer.bytes))
    }

    /// Old segments put back over newer ones, roots gone: every block is the newest, lost, or an older one with the report
    /// saying that records or pages are missing.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func replayedSegmentsAreNoNews(seed: UInt64) throws {
        let (older, olderModel) = try image()
        var model = olderModel
        var states = [model]
        var newer = older
        for round in 0..<3 as Range<UInt64> {
            newer = try grow(newer, &model, from: 3000 + round * 100, seed: seed * 10 + round)
            states.append(model)
        }
        var generator = SimRandom(seed: seed)
        let log = Int(Layout.firstFreeBlock)..<older.byteCount / blockBytes
        var mixed = newer
        for _ in 0..<Int.random(in: 1...8, using: &generator) {
            let start = Int.random(in: log, using: &generator) / 16 * 16
            copy(start..<min(start + 16, log.upperBound), from: older, to: &mixed)
        }
        if seed % 2 == 0 { SalvageSubject.destroy(&mixed, SalvageSubject.roots) }
        let run = try SalvageRun(mixed)
        let whole = try SalvageRun(newer)
        for block in model.indices where try run.block(UInt64(block), is: model[block]) == .other {
            let isSaid =
                run.report.missingRecords > 0 || run.report.commit < whole.report.commit
                || run.report.doubtful.contains { $0.contains(UInt64(block)) }
            #expect(isSaid, "block \(block)")
        }
        #expect(run.report.freshness == .unknown)
    }

    /// Two copies of one volume written apart, and a mixture of both shown: one of them is taken, by name, and no block is
    /// the other's.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func clonesAreNotMixed(seed: UInt64) throws {
        let (origin, start) = try image()
        var models = [start, start]
        let images = [
            try grow(origin, &models[0], from: 10_000, seed: seed),
            try grow(origin, &models[1], from: 20_000, seed: seed + 100),
        ]
        var generator = SimRandom(seed: seed)
        var mixed = images[0]
        for block in stride(from: Int(Layout.firstFreeBlock), to: origin.byteCount / blockBytes, by: 16)
        where Bool.random(using: &generator) { copy(block..<block + 16, from: images[1], to: &mixed) }
        if seed % 2 == 0 { SalvageSubject.destroy(&mixed, SalvageSubject.roots) }
        let run = try SalvageRun(mixed)
        var taken: Set<UInt64> = []
        let buffer = AlignedBuffer(byteCount: blockBytes), pattern = AlignedBuffer(byteCount: blockBytes)
        for block in start.indices {
            do { try run.device.read(LogicalBlock(UInt64(block)), into: buffer.bytes) } catch { continue }
            for branch in 0..<2 where models[branch][block] != start[block] {
                DeviceTesting.fill(pattern.bytes, models[branch][block])
                if buffer.bytes.elementsEqual(pattern.bytes) { taken.insert(UInt64(branch)) }
            }
        }
        #expect(taken.count <= 1)
        #expect(!run.report.branches.isEmpty)
    }

    /// With the anchor of one clone, that clone is the state, whatever else is shown.
    @Test func theAnchorChoosesTheBranch() throws {
        let host = MemoryBlockHost(), anchor = MemoryAnchor()
        try DeviceTesting.create(host, blocks: 100, anchor: anchor)
        func write(_ image: SparseBytes, _ value: UInt64, clock: UInt64) throws -> (SparseBytes, AnchorValue?) {
            let host = MemoryBlockHost(contents: image), own = MemoryAnchor(try anchor.load())
            var options = DeviceOptions()
            options.maintenance = .inline
            options.clock = { clock }
            let device = try SecureDevice.open(
                host, credential: DeviceTesting.keyFile(), anchor: own, options: options)
            for block in 0..<20 as Range<UInt64> { try DeviceTesting.write(device, block, value) }
            try device.commit().wait()
            return (host.contents, try own.load())
        }
        let first = try write(host.contents, 7, clock: 5_000_000_000_000)
        let second = try write(host.contents, 8, clock: 1_000)
        // Each segment from the clone that wrote it; both wrote the first few, where the second's win.
        var mixed = first.0
        let start = Int(Layout.firstFreeBlock)
        copy(start..<mixed.byteCount / blockBytes, from: second.0, to: &mixed)
        SalvageSubject.destroy(&mixed, SalvageSubject.roots)
        let run = try SalvageRun(mixed, anchor: second.1)
        #expect(run.report.freshness == .anchored)
        for block in 0..<20 as Range<UInt64> { #expect(try run.block(block, is: 8) == .value) }
        let other = try SalvageRun(mixed, anchor: first.1)
        #expect(other.report.freshness != .anchored)
    }

    /// Bits flipped, blocks swapped, clear fields forged: never a trap or a wrong block.
    @Test func garbageIsSurvived() throws {
        let (sound, model) = try image(blocks: 200)
        var generator = SimRandom(seed: 99)
        let blocks = sound.byteCount / blockBytes
        for round in 0..<24 {
            var image = sound
            for _ in 0..<20 {
                let block = Int.random(in: 0..<blocks, using: &generator)
                switch round % 3 {
                case 0:
                    let offset = Int.random(in: 0..<blockBytes, using: &generator)
                    image.write(block * blockBytes + offset, [UInt8.random(in: 0...255, using: &generator)])
                case 1: copy(block..<block + 1, from: sound, to: &image)
                default:
                    // A header as anybody could write one: right place, any epoch, any sequence.
                    let forged = AlignedBuffer(byteCount: blockBytes)
                    for index in 0..<blockBytes { forged.bytes[index] = .random(in: 0...255, using: &generator) }
                    var writer = ByteWriter(forged.bytes)
                    writer.u32(RecordHeader.magic)
                    writer.u16(RecordHeader.version)
                    writer.u16(UInt16.random(in: 0...200, using: &generator))
                    writer.tag(.zero)
                    writer.u64(.random(in: 0...UInt64.max, using: &generator))
                    let inLog = max(block - Int(Layout.firstFreeBlock), 0)
                    writer.u32(UInt32(inLog / 16))
                    writer.u32(UInt32(inLog % 16))
                    writer.u32(.random(in: 0...UInt32.max, using: &generator))
                    writer.u32(0)
                    writer.tag(.zero)
                    writer.zeros(upTo: 88)
                    image.write(block * blockBytes, UnsafeRawBufferPointer(forged.bytes))
                }
            }
            do {
                let run = try SalvageRun(image)
                for block in model.indices where try run.block(UInt64(block), is: model[block]) == .other {
                    let isSaid =
                        run.report.missingRecords > 0 || run.report.commit < SequenceNumber(UInt64.max)
                    #expect(isSaid)
                }
            } catch is VolumeError { continue }
        }
    }
}
