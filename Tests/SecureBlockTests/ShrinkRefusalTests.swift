import Glibc
import SimHost
import Testing

@testable import SecureBlock

/// Shrinking where it cannot be done, or only just: a typed refusal, everything as before, or a smaller device that holds
/// all it held.
@Suite struct ShrinkRefusalTests {
    private let host = MemoryBlockHost()

    /// A device all of whose blocks were overwritten several times.
    private func full(_ blocks: UInt64, spare: Int = 60) throws -> SecureDevice {
        try DeviceTesting.create(host, blocks: blocks, sparePerMille: spare)
        let device = try DeviceTesting.open(host)
        for step in 0..<3 * blocks {
            try DeviceTesting.writeWithCommits(device, step * 7 % blocks, step / blocks + 1)
        }
        try device.commit().wait()
        return device
    }

    private func expectAll(_ device: SecureDevice, _ blocks: UInt64) throws {
        for block in 0..<blocks { #expect(try DeviceTesting.holds(device, block, 3), "block \(block)") }
        try device.checkInvariants()
    }

    /// From full devices, by ever more, with little spare space.
    @Test(arguments: [0, 60, 300], [299, 290, 270, 200, 90] as [UInt64])
    func fullDevices(spare: Int, size: UInt64) throws {
        let device = try full(303, spare: spare)
        try device.discard(LogicalBlock(size), count: 303 - size)
        try device.commit().wait()
        var left = size
        do {
            try device.prepareResize(toBlocks: size)
            // The client goes on meanwhile.
            try DeviceTesting.writeWithCommits(device, 0, 3)
            try device.commit().wait()
            try device.resize(toBlocks: size)
        } catch let error as ResizeError {
            #expect(error == .noSpace || error == .device(.noSpace), "\(error)")
            left = 303
        }
        #expect(device.logicalBlockCount == left)
        try expectAll(device, size)
        try device.close()
        #expect(try DeviceTesting.findings(MemoryBlockHost(contents: host.contents)).isEmpty)
    }

    @Test func whatIsInTheWay() throws {
        let device = try full(303)
        #expect(throws: ResizeError.inUse(LogicalBlock(200))) { try device.resize(toBlocks: 200) }
        #expect(throws: ResizeError.unsuitable(blocks: 0)) { try device.resize(toBlocks: 0) }
        try device.discard(LogicalBlock(200), count: 103)
        // The discard itself waits for a commit.
        #expect(throws: ResizeError.uncommittedChanges) { try device.resize(toBlocks: 200) }
        try device.commit().wait()
        try device.prepareResize(toBlocks: 200)
        device.abandonResize()
        let last = device.context.geometry.segmentCount - 1
        device.monitor.locked {
            device.table[last].live = max(device.table[last].live, 1)
            device.table[last].state = .damaged
        }
        #expect(throws: ResizeError.unreadable(segment: last)) { try device.resize(toBlocks: 200) }
        #expect(throws: ResizeError.unreadable(segment: last)) { try device.prepareResize(toBlocks: 200) }
        #expect(device.logicalBlockCount == 303)
    }

    /// A device that writes no more says so, whatever its size is to be.
    @Test(arguments: [90, 400] as [UInt64]) func latchedDevices(size: UInt64) throws {
        let device = try full(303)
        try device.discard(LogicalBlock(90), count: 213)
        try device.commit().wait()
        device.monitor.locked { device.setLatch("test") }
        #expect(throws: ResizeError.device(.latched("test"))) { try device.resize(toBlocks: size) }
        if size < 303 {
            #expect(throws: ResizeError.device(.latched("test"))) { try device.prepareResize(toBlocks: size) }
        }
        #expect(device.logicalBlockCount == 303)
    }

    /// A read that is under way behind the new end is waited for; it gets what it asked for.
    @Test func readsBehindTheEndAreWaitedFor() throws {
        let device = try full(303)
        try device.discard(LogicalBlock(90), count: 213)
        try device.commit().wait()
        let last = device.context.geometry.segmentCount - 1
        device.monitor.locked { device.table.addReader(last) }
        let outcome = TestThread.Outcome<Void> { try device.resize(toBlocks: 90) }
        while !device.monitor.locked({ device.table[volatile: last].keep.contains(.resize) }) { usleep(1000) }
        // Some rounds of waiting; with fewer it would come out the same.
        usleep(50_000)
        device.monitor.locked {
            device.table.removeReader(last)
            device.monitor.broadcast()
        }
        try outcome.wait()
        #expect(device.logicalBlockCount == 90)
        try expectAll(device, 90)
        try device.close()
    }

    /// On a host that has no room left, a volume whose free segments were given back to it cannot move what is behind the
    /// new end. It stays as it is, and becomes smaller once there is room again.
    @Test(arguments: [true, false], 0..<6) func fullHosts(isPrepared: Bool, allocations: Int) throws {
        let host = CrashHost()
        try DeviceTesting.create(host, blocks: 303)
        let device = try DeviceTesting.open(host, returnsFreeSpace: true)
        for step in 0..<UInt64(909) { try DeviceTesting.writeWithCommits(device, step * 7 % 303, step / 303 + 1) }
        try device.discard(LogicalBlock(150), count: 153)
        try device.commit().wait()
        for _ in 0..<4 { try device.checkpointNow() }
        host.fail(.allocate, after: allocations, times: .max, with: .noSpace)
        do {
            if isPrepared { try device.prepareResize(toBlocks: 150) }
            try device.resize(toBlocks: 150)
        } catch {
            #expect([.noSpace, .device(.noSpace)].contains(error), "\(error)")
        }
        try expectAll(device, 150)
        host.clearFaults()
        try device.resize(toBlocks: 150)
        #expect(device.logicalBlockCount == 150)
        try expectAll(device, 150)
        try device.close()
        #expect(try DeviceTesting.findings(MemoryBlockHost(contents: host.contents)).isEmpty)
    }

    /// Every segment taken: what is behind the end has nowhere to go, and nothing is lost over it.
    @Test(arguments: [true, false]) func nowhereToGo(isPrepared: Bool) throws {
        let device = try full(303)
        try device.discard(LogicalBlock(150), count: 153)
        try device.commit().wait()
        try device.checkpointNow()
        let end = try #require(
            Geometry.planned(logicalBlocks: 150, segmentBlocks: 16, sparePerMille: 60)
        ).segmentCount
        // As if reads were under way in all that is free before the end.
        let held = device.monitor.locked { (0..<end).filter { device.table.load($0) == 0 } }
        device.monitor.locked { for segment in held { device.table.addReader(segment) } }
        do {
            if isPrepared {
                try device.prepareResize(toBlocks: 150)
                device.abandonResize()
            } else {
                try device.resize(toBlocks: 150)
                Issue.record("it found room")
            }
        } catch {
            #expect([.noSpace, .device(.noSpace)].contains(error), "\(error)")
        }
        #expect(device.logicalBlockCount == 303)
        device.monitor.locked {
            for segment in held { device.table.removeReader(segment) }
            device.monitor.broadcast()
        }
        try expectAll(device, 150)
        try device.resize(toBlocks: 150)
        try expectAll(device, 150)
        try device.close()
        #expect(try DeviceTesting.findings(MemoryBlockHost(contents: host.contents)).isEmpty)
    }
}
