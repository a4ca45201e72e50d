import Testing

@testable import SecureBlock

/// Space kept back for what must not fail (I10). Most free segments are set aside, so that little is enough to fill a
/// device whose map is large.
@Suite struct DeviceReserveTests {
    /// Leaves `count` segments that can be taken.
    private func leave(_ count: Int, of device: SecureDevice) {
        device.monitor.locked {
            var left = 0
            for segment in 0..<device.context.geometry.segmentCount
            where device.table.isReusable(
                segment, durable: device.log.acknowledged.sequence, olderRoot: device.log.olderRootCommit)
            {
                left += 1
                if left > count { device.table[segment].state = .damaged }
            }
        }
    }

    /// Writes spread over the whole map stop while a checkpoint still has room for every page they changed.
    @Test func checkpointHasRoomForEveryChangedPage() throws {
        let host = MemoryBlockHost()
        let leaves: UInt64 = 300
        try DeviceTesting.create(host, blocks: leaves * 512)
        let device = try DeviceTesting.open(host, checkpointInterval: 1 << 40)
        leave(45, of: device)
        var model: [UInt64: UInt64] = [:]
        for value: UInt64 in 1...1200 {
            let block = value % leaves * 512 + value / leaves
            do {
                try DeviceTesting.write(device, block, value)
                model[block] = value
            } catch {
                guard DeviceTesting.isShortOfSpace(error) else { throw error }
                break
            }
        }
        #expect(model.count > 100 && model.count < 1200)
        try device.commit().wait()
        #expect(device.status.latch == nil)
        for (block, value) in model { #expect(try DeviceTesting.holds(device, block, value)) }
        try device.close()
    }

    /// A write behind discards that want a segment asks for a commit where one helps, as any write does.
    @Test func writeBehindDiscardsAsksForACommit() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host)
        let device = try DeviceTesting.open(host)
        leave(device.reserved(.data) + 3, of: device)
        var failure: DeviceError?
        // The first commit took a block, each write takes three, and the discard's record, written with the next write,
        // takes one: it is the one to begin a segment.
        let buffer = AlignedBuffer(byteCount: 2 * blockBytes)
        for step: UInt64 in 0..<1000 where failure == nil {
            do {
                try device.write(LogicalBlock(step % 40), UnsafeRawBufferPointer(buffer.bytes))
                try device.discard(LogicalBlock(step % 40), count: 2)
            } catch { failure = error }
        }
        #expect(failure == .commitRequired)
        try device.commit().wait()
        try DeviceTesting.write(device, 1, 1)
        try device.close()
    }
}
