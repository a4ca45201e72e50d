import SimHost
import Testing

@testable import SecureBlock

/// The cleaner over segments that cannot be moved, or only in part: what it cannot read stays for its readers to hear of,
/// and no other block is lost.
@Suite struct DeviceCleanerTests {
    private let host = CrashHost()
    private let device: SecureDevice

    init() throws { device = try DeviceTesting.checkpointed(host, blocks: 200) }

    private func segment(of block: UInt64) throws -> UInt32 {
        let place = try #require(try device.physicalLocation(of: LogicalBlock(block)))
        return try #require(device.context.geometry.position(place)).segment
    }

    /// Moves what can be moved until the segment is empty or given up.
    private func evacuate(_ segment: UInt32) throws {
        for _ in 0..<6 {
            try device.evacuate(segment)
            try device.commit().wait()
            try device.checkpointNow()
        }
    }

    private func expectAll(but lost: Set<UInt64> = []) throws {
        for block in 0..<UInt64(200) {
            do { #expect(try DeviceTesting.holds(device, block, block + 1) && !lost.contains(block)) } catch {
                #expect(lost.contains(block), "block \(block): \(error)")
            }
        }
        try device.checkInvariants()
    }

    @Test func whatDoesNotVerifyStays() throws {
        let segment = try segment(of: 50)
        let place = try #require(try device.physicalLocation(of: LogicalBlock(50)))
        let garbage = AlignedBuffer(byteCount: blockBytes)
        try host.write(at: place.rawValue * UInt64(blockBytes), UnsafeRawBufferPointer(garbage.bytes))
        try evacuate(segment)
        #expect(device.monitor.locked { device.table[segment].state } == .damaged)
        #expect(try device.physicalLocation(of: LogicalBlock(50)) == place)
        try expectAll(but: [50])
    }

    /// Reads that fail while a segment is being emptied lose nothing: later it is emptied.
    @Test(arguments: 0..<4) func whatCannotBeReadNowIsMovedLater(after: Int) throws {
        let segment = try segment(of: 50)
        host.fail(.read, after: after, times: 1, with: FailureWay.ioError)
        try device.evacuate(segment)
        host.clearFaults()
        try device.commit().wait()
        try expectAll()
        try evacuate(segment)
        #expect(device.monitor.locked { device.table.load(segment) } == 0)
        try expectAll()
    }

    /// A segment whose key there is none of is given up.
    @Test func withoutAKeyTheSegmentIsGivenUp() throws {
        let segment = try segment(of: 50)
        let lost = try Set(device.blocks(in: [segment]).map(\.rawValue))
        device.monitor.locked { device.table[segment].epochIndex = 4000 }
        try device.evacuate(segment)
        #expect(device.monitor.locked { device.table[segment].state } == .damaged)
        // What a reader knows of the tags does not help either.
        try expectAll(but: lost)
    }

    /// The list of snapshots and the epoch table are moved by being written again.
    @Test func listsAreMoved() throws {
        _ = try device.createSnapshot(DeviceTesting.name("kept"))
        func lists() -> [PagePointer] {
            device.monitor.locked { device.log.retention.snapshotPages + device.log.epochPages }
        }
        #expect(lists().count == 2)
        // Until the stream of pages has gone on to other segments.
        for step in 0..<UInt64(60) {
            try DeviceTesting.writeWithCommits(device, step % 10, step % 10 + 1)
            try device.commit().wait()
            try device.checkpointNow()
        }
        var moved: [PhysicalBlock] = []
        for pointer in lists() {
            let segment = try #require(device.context.geometry.position(pointer.block)).segment
            guard device.monitor.locked({ device.table.isVictim(segment) }) else { continue }
            try device.evacuate(segment)
            moved.append(pointer.block)
        }
        #expect(!moved.isEmpty)
        try device.commit().wait()
        try device.checkpointNow()
        #expect(Set(lists().map(\.block)).isDisjoint(with: moved))
        let snapshot = try device.openSnapshot(DeviceTesting.name("kept"))
        for block in 0..<UInt64(200) { #expect(try DeviceTesting.holds(snapshot, block, block + 1)) }
        try snapshot.close()
        try expectAll()
        try device.close()
        #expect(try DeviceTesting.findings(MemoryBlockHost(contents: host.contents)).isEmpty)
    }

    /// A device some of whose segments were cut off after they had been used as often as can be counted stays as it is:
    /// what grew back could be sealed again under the same numbers.
    @Test func usedUpGenerationsKeepTheSize() throws {
        device.monitor.locked { device.table.cutGeneration = Generation(.max) }
        #expect(throws: ResizeError.unsuitable(blocks: 900)) { try device.resize(toBlocks: 900) }
        #expect(device.logicalBlockCount == 200)
        for block in 0..<UInt64(200) { #expect(try DeviceTesting.holds(device, block, block + 1)) }
    }
}
