import SimHost
import Testing

@testable import SecureBlock

/// Volumes whose map and segment table have pages above pages, with little in them: losing such a page, and changing the
/// size across the borders of levels.
@Suite struct WideVolumeTests {
    /// More than 1,024 segments, of which eight pages of the table tell.
    static let blocks: UInt64 = 20_000

    private let contents: SparseBytes
    private let model: [UInt64: UInt64]

    init() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: Self.blocks)
        let device = try DeviceTesting.open(host)
        var model: [UInt64: UInt64] = [:]
        for block in stride(from: 0, to: Self.blocks, by: 333) {
            try DeviceTesting.write(device, block, block + 1)
            model[block] = block + 1
        }
        try device.commit().wait()
        try device.checkpointNow()
        try device.close()
        contents = host.contents
        self.model = model
    }

    private func expect(_ device: SecureDevice, through end: UInt64 = blocks) throws {
        for (block, value) in model where block < end {
            #expect(try DeviceTesting.holds(device, block, value), "block \(block)")
        }
        #expect(try DeviceTesting.holds(device, 1, 0))
    }

    /// Where the pages of a tree that the newest root names on top are, or those on the level below.
    private func pages(_ top: (Root) -> [PagePointer], _ kind: BlockKind, isTop: Bool) throws -> [UInt64] {
        let unlocked = try UnlockedVolume(
            MemoryBlockHost(contents: contents), credential: DeviceTesting.keyFile(), forWriting: false)
        let pointers = top(unlocked.newest)
        if isTop { return pointers.filter(\.exists).map(\.block.rawValue) }
        let leaves =
            kind == .mapPage
            ? Int(Self.blocks + 511) / 512 : Int(unlocked.context.geometry.segmentCount + 127) / 128
        let tree = try PageTree.load(kind: kind, leafCount: leaves, top: pointers, unlocked.context)
        return tree.leaves.filter(\.exists).map(\.block.rawValue)
    }

    private func repaired(_ image: SparseBytes) throws -> SparseBytes {
        let host = MemoryBlockHost(contents: image)
        var options = DeviceOptions()
        options.maintenance = .inline
        let repair = try VolumeRepair.open(
            host, credential: DeviceTesting.keyFile(), anchor: nil, options: options, findings: nil
        ) { _ in }
        try repair.device.checkInvariants()
        try repair.finish()
        return host.contents
    }

    /// The segment table is made anew from the map, whether all of it is lost, a page of it or the page above.
    @Test(arguments: [true, false], [1, 3, 99]) func lostTablesAreMadeAnew(isTop: Bool, count: Int) throws {
        var image = contents
        SalvageSubject.destroy(
            &image, Array(try pages(\.tableTop, .tablePage, isTop: isTop).prefix(count)))
        let mended = try repaired(image)
        #expect(try DeviceTesting.findings(MemoryBlockHost(contents: mended)).isEmpty)
        let device = try DeviceTesting.open(MemoryBlockHost(contents: mended))
        try expect(device)
        try DeviceTesting.write(device, 5, 5)
        try device.commit().wait()
        try device.checkInvariants()
        try device.close()
    }

    /// A page of the map is for a salvage, which finds all that the records tell of.
    @Test(arguments: [true, false]) func lostMapsAreSalvaged(isTop: Bool) throws {
        var image = contents
        SalvageSubject.destroy(&image, Array(try pages(\.mapTop, .mapPage, isTop: isTop).prefix(2)))
        let lost = try DeviceTesting.findings(MemoryBlockHost(contents: image)).filter { $0.kind == "map-page" }
        #expect(lost.allSatisfy { $0.severity == .error && $0.physical != nil })
        // One page above has all leaves below it.
        #expect(lost.map(\.block) == (isTop ? [LogicalBlock(0)] : [LogicalBlock(0), LogicalBlock(512)]))
        let run = try SalvageRun(image)
        for (block, value) in model { #expect(try run.block(block, is: value) == .value, "block \(block)") }
        #expect(run.report.lostMapPages > 0)
    }

    /// Across 4,096 blocks, and across the 1,024 segments of one level of the table; with and without changes in between.
    @Test(arguments: [[4000, 20_000], [600, 60_000, 5000], [600_000, 20_000, 300]] as [[UInt64]])
    func sizesAcrossLevels(_ sizes: [UInt64]) throws {
        let host = MemoryBlockHost(contents: contents)
        let device = try DeviceTesting.open(host)
        var least = Self.blocks
        for size in sizes {
            let now = device.logicalBlockCount
            if size < now {
                try device.discard(LogicalBlock(size), count: now - size)
                try device.commit().wait()
            }
            try device.resize(toBlocks: size)
            least = min(least, size)
            try expect(device, through: least)
            #expect(try DeviceTesting.holds(device, size - 1, 0) || size - 1 < least)
            try DeviceTesting.write(device, size - 1, 77)
            try device.commit().wait()
            #expect(try DeviceTesting.holds(device, size - 1, 77))
            try device.discard(LogicalBlock(size - 1), count: 1)
            try device.commit().wait()
            try device.checkInvariants()
        }
        try device.close()
        #expect(try DeviceTesting.findings(MemoryBlockHost(contents: host.contents)).isEmpty)
        try expect(
            try DeviceTesting.open(MemoryBlockHost(contents: host.contents), mode: .readOnly), through: least)
    }

    /// A page of the map that the host changed under an open device: it keeps its size, says which page, and goes on; with
    /// the page back it takes another size.
    @Test(arguments: [300, 600_000] as [UInt64], [true, false])
    func aLostPageKeepsTheSize(size: UInt64, isUnreadable: Bool) throws {
        let host = CrashHost(contents: contents)
        let device = try DeviceTesting.open(host)
        if size < Self.blocks {
            try device.discard(LogicalBlock(size), count: Self.blocks - size)
            try device.commit().wait()
        }
        try device.checkpointNow()
        let top = try #require(device.monitor.locked { device.map.top.first })
        let page = AlignedBuffer(byteCount: blockBytes), garbage = AlignedBuffer(byteCount: blockBytes)
        let offset = top.block.rawValue * UInt64(blockBytes)
        try host.read(at: offset, into: page.bytes)
        if isUnreadable {
            host.fail(.read, after: 0, times: .max, with: FailureWay.ioError)
        } else {
            try host.write(at: offset, UnsafeRawBufferPointer(garbage.bytes))
        }
        var failure: ResizeError?
        do throws(ResizeError) { try device.resize(toBlocks: size) } catch { failure = error }
        // Pages that are in memory need not be read.
        if let failure {
            let reason = isUnreadable ? UnreadableReason.host(FailureWay.ioError) : .mapMismatch(top.block)
            #expect(failure == .device(.unreadable(LogicalBlock(size), reason)))
            #expect(device.logicalBlockCount == Self.blocks)
        }
        host.clearFaults()
        // A map that became smaller has it elsewhere by now.
        if failure != nil || size > Self.blocks {
            try host.write(at: offset, UnsafeRawBufferPointer(page.bytes))
        }
        if failure != nil { try device.resize(toBlocks: size) }
        #expect(device.logicalBlockCount == size)
        try expect(device, through: min(size, Self.blocks))
        try device.checkInvariants()
        try device.close()
    }
}
