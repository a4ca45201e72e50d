import SimHost
import Testing

@testable import SecureBlock

/// Blocks that are known to be lost read as errors, never as zeros, for as long as nobody writes or discards them.
@Suite struct DeviceLossTests {
    private func isLost(_ device: SecureDevice, _ block: UInt64) throws -> Bool {
        do throws(DeviceError) {
            let buffer = AlignedBuffer(byteCount: blockBytes)
            try device.read(LogicalBlock(block), into: buffer.bytes)
            return false
        } catch {
            #expect(error == .unreadable(LogicalBlock(block), .lost))
            return true
        }
    }

    @Test func lossesOutliveReopeningAndEndWithAWrite() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 1200)
        var device = try DeviceTesting.open(host)
        for block in 0..<8 as Range<UInt64> { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        try device.markLost(LogicalBlock(2), count: 3)
        // Over the border of a map page, where nothing was ever written.
        try device.markLost(LogicalBlock(510), count: 5)
        try device.commit().wait()
        try device.checkInvariants()
        // Once from the log after a crash, once from a checkpoint.
        for isCrash in [true, false] {
            let image = MemoryBlockHost(contents: host.contents)
            if !isCrash {
                try device.close()
                device = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
            }
            let other = isCrash ? try DeviceTesting.open(image) : device
            for block in 0..<8 as Range<UInt64> {
                if (2..<5).contains(block) {
                    #expect(try isLost(other, block))
                } else {
                    #expect(try DeviceTesting.holds(other, block, block + 1))
                }
            }
            for block in 508..<517 as Range<UInt64> {
                #expect(try isLost(other, block) == (510..<515).contains(block))
            }
            try other.checkInvariants()
        }
        try DeviceTesting.write(device, 3, 33)
        try device.discard(LogicalBlock(511), count: 1)
        #expect(try DeviceTesting.holds(device, 3, 33))
        #expect(try DeviceTesting.holds(device, 511, 0))
        #expect(try isLost(device, 512))
        try device.commit().wait()
        try device.checkInvariants()
        try device.close()
    }
}
