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
}
