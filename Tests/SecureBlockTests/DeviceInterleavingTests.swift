import Glibc
import Testing

@testable import SecureBlock

/// Orders of events that threads meet seldom, made on purpose: a writer that holds its slots for long, a host that
/// finishes its writes late, a device that closes twice at once.
@Suite struct DeviceInterleavingTests {
    /// Takes slots as a writer does before it encrypts; ``finish(_:_:)`` is the rest of that write.
    private func takeSlot(_ device: SecureDevice) throws -> (record: RecordBuffer, slot: Int) {
        try device.monitor.locked { () throws(DeviceError) in
            let slots = try device.reserve(.user, 1, .data)
            return (slots.record, slots.slot)
        }
    }

    /// Publishes a slot as a writer of `block` that found nothing there.
    private func finish(_ device: SecureDevice, _ taken: (record: RecordBuffer, slot: Int), _ block: UInt64) throws
    {
        let record = taken.record, place = record.position(slot: taken.slot)
        let physical = device.context.geometry.physical(place)
        let plain = AlignedBuffer(byteCount: blockBytes)
        DeviceTesting.fill(plain.bytes, block + 1)
        let association = BlockAssociation(.data, address: block)
        let key = try #require(try device.context.epochs.key(record.epochIndex))
        let tag = try key.seal(
            UnsafeRawBufferPointer(plain.bytes), into: try #require(record.bytes(slot: taken.slot).baseAddress),
            at: physical, record.generation, as: association)
        try device.monitor.locked { () throws(DeviceError) in
            record.replaced[taken.slot] = device.map.entry(LogicalBlock(block))
            device.map.set(LogicalBlock(block), MapEntry(block: physical, slot: taken.slot))
            record.entries[taken.slot] = RecordEntry(association, tag: tag)
            device.log.hasUncommitted = true
            record.pending -= 1
            try device.sealReady(.user)
        }
    }

    /// A full record that waits for a slow writer still goes before a discard: else memory and replay differ (I2).
    @Test(arguments: [1, 200] as [UInt64])
    func discardFollowsRecordsThatWaitForTheirSlots(block: UInt64) throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host)
        let device = try DeviceTesting.open(host)
        if block == 200 {
            try DeviceTesting.write(device, block, 7)
            try device.commit().wait()
        }
        let taken = try takeSlot(device)
        let room = device.monitor.locked { taken.record.room }
        let filled = AlignedBuffer(byteCount: room * blockBytes)
        // Fills the record, which is closed then, and waits for the slot that is not published: no record is open.
        try device.write(LogicalBlock(0), UnsafeRawBufferPointer(filled.bytes))
        #expect(device.monitor.locked { device.log.streams[0].open == nil && !device.log.streams[0].queue.isEmpty })
        let thread = try #require(
            HostThread {
                do { try device.discard(LogicalBlock(block), count: 1) } catch {
                    Issue.record("discard of \(block): \(error)")
                }
            })
        usleep(50_000)
        try finish(device, taken, 200)
        thread.join()
        try device.commit().wait()
        try device.checkInvariants()
        let contents = try DeviceTesting.contents(device)
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        #expect(try DeviceTesting.contents(again) == contents)
        try again.checkInvariants()
        try again.close()
        try device.close()
    }

    /// The host still reads a record's bytes when its device is let go of: they stay as they are until it is done (I13).
    @Test func buffersOutliveTheDevice() throws {
        let memory = MemoryBlockHost()
        try DeviceTesting.create(memory)
        let host = HoldingHost(memory)
        let isGone = Monitor(false)
        var device: SecureDevice? = try DeviceTesting.open(host)
        host.holds.change { $0 = true }
        if let device {
            try DeviceTesting.write(device, 3, 4)
            _ = try device.commit()
        }
        let last = Handover(device)
        device = nil
        let thread = try #require(
            HostThread {
                last.drop()
                isGone.change { $0 = true }
            })
        usleep(50_000)
        #expect(!isGone.withLock { $0 }, "the device went with a write under way")
        host.release()
        thread.join()
        let again = try DeviceTesting.open(MemoryBlockHost(contents: memory.contents))
        #expect(try DeviceTesting.holds(again, 3, 4))
        try again.close()
    }

    @Test func closingTwiceAtOnceClosesOnce() throws {
        for _ in 0..<20 {
            let host = MemoryBlockHost()
            try DeviceTesting.create(host)
            let device = try DeviceTesting.open(host, background: true)
            try DeviceTesting.write(device, 3, 4)
            try device.commit().wait()
            let threads = try (0..<4).map { _ in
                try #require(
                    HostThread {
                        do { try device.close() } catch { Issue.record("close: \(error)") }
                        #expect(device.monitor.locked { device.isClosed })
                    })
            }
            for thread in threads { thread.join() }
        }
    }
}

/// The last reference to a device, for another thread to drop.
private final class Handover: @unchecked Sendable {
    // SAFETY: written before the thread starts, then only used by it.
    private var device: SecureDevice?
    init(_ device: SecureDevice?) { self.device = device }
    func drop() { device = nil }
}

/// A host that, told to, lets writes wait, and takes their bytes only when they are released.
private final class HoldingHost: LentHost, @unchecked Sendable {
    private struct Held: @unchecked Sendable {
        // SAFETY: the contract of `beginWrite` keeps the bytes until the write completes: what the test is about.
        let offset: UInt64
        let bytes: UnsafeRawBufferPointer
        let write: HostWrite
    }
    let holds = Monitor(false)
    private let held = Monitor<[Held]>([])

    override func beginWrite(at offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        guard holds.withLock({ $0 }) else { return host.beginWrite(at: offset, bytes, durable: durable) }
        let write = HostWrite()
        held.change { $0.append(Held(offset: offset, bytes: bytes, write: write)) }
        return write
    }

    func release() {
        holds.change { $0 = false }
        for item in held.withLock({ $0 }) {
            let done = host.beginWrite(at: item.offset, item.bytes, durable: false)
            do throws(HostError) {
                try done.wait()
                item.write.complete(nil)
            } catch { item.write.complete(error) }
        }
    }
}
