import SimHost
import Testing

@testable import SecureBlock

/// Segments that were taken into use as often as can be counted: their numbers are not given again, as a block sealed
/// under them would be sealed twice (I1).
@Suite struct DeviceGenerationTests {
    private let host = CrashHost()
    private let device: SecureDevice

    init() throws { device = try DeviceTesting.checkpointed(host, blocks: 200) }

    private func expectSealedOnce() {
        let ledger = SealLedger()
        for case .write(let write) in host.events {
            write.bytes.withUnsafeBytes { ledger.record(write.offset, $0) }
        }
        #expect(ledger.findings == [])
    }

    /// A free segment with the last number there is stays free, and all others go on around it.
    @Test func aSegmentUsedUpIsNotTakenAgain() throws {
        for round in 0..<UInt64(2) {
            for block in 0..<UInt64(200) { try DeviceTesting.writeWithCommits(device, block, block + round) }
            try device.commit().wait()
        }
        try device.checkpointNow()
        let last = Generation(.max)
        let segment = try device.monitor.locked {
            let segments = 0..<device.context.geometry.segmentCount
            let free = try #require(
                segments.first { device.table[$0].state == .used && device.table[volatile: $0].phase == .ready })
            device.table[free].generation = last
            return free
        }
        for round in 1..<UInt64(8) {
            for block in 0..<UInt64(200) { try DeviceTesting.writeWithCommits(device, block, block + round) }
        }
        try device.commit().wait()
        #expect(device.monitor.locked { device.table[segment].generation } == last)
        try device.checkInvariants()
        try device.close()
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        #expect(again.monitor.locked { again.table[segment].generation } == last)
        for block in 0..<UInt64(200) { #expect(try DeviceTesting.holds(again, block, block + 7)) }
        try again.close()
        expectSealedOnce()
    }

    /// Segments that grew back after some were cut off which had the last number there is: there is none left for them, and
    /// they are no room. Everything written before stays, and the next opening, under a key of its own, counts anew.
    @Test func segmentsWithoutANumberAreNoRoom() throws {
        try device.resize(toBlocks: 900)
        let isFresh = { (segment: UInt32) in device.table[segment].state == .neverUsed }
        let (fresh, segments) = device.monitor.locked {
            device.table.cutGeneration = Generation(.max)
            let segments = 0..<device.context.geometry.segmentCount
            return (segments.filter(isFresh), segments)
        }
        try #require(fresh.count > 10)
        #expect {
            for block in 200..<UInt64(900) { try DeviceTesting.write(device, block, block + 1) }
        } throws: {
            DeviceTesting.isShortOfSpace($0)
        }
        #expect(device.monitor.locked { segments.filter(isFresh) } == fresh)
        for block in 0..<UInt64(200) { #expect(try DeviceTesting.holds(device, block, block + 1)) }
        try device.close()
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        for block in 0..<UInt64(200) { #expect(try DeviceTesting.holds(again, block, block + 1)) }
        for block in 200..<UInt64(900) { try DeviceTesting.writeWithCommits(again, block, block + 1) }
        try again.commit().wait()
        for block in 0..<UInt64(900) { #expect(try DeviceTesting.holds(again, block, block + 1)) }
        try again.close()
        expectSealedOnce()
    }
}
