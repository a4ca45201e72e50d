import Glibc
import SimHost
import Testing

@testable import SecureBlock

@Suite struct DeviceKeyTests {
    private let first: Credential, second: Credential

    init() throws {
        first = try DeviceTesting.keyFile(7)
        second = try DeviceTesting.keyFile(9)
    }

    private func opens(_ contents: SparseBytes, _ credential: Credential) -> Bool {
        do {
            let device = try SecureDevice.open(
                MemoryBlockHost(contents: contents), credential: credential, mode: .readOnly)
            return try DeviceTesting.holds(device, 3, 33)
        } catch { return false }
    }

    private func prepared(_ host: any BlockHost) throws -> SecureDevice {
        try DeviceTesting.create(host, blocks: 40)
        let device = try DeviceTesting.open(host)
        try DeviceTesting.write(device, 3, 33)
        try device.commit().wait()
        return device
    }

    @Test func anAddedSlotOpensAndARemovedOneDoesNot() throws {
        let host = MemoryBlockHost()
        let device = try prepared(host)
        #expect(!opens(host.contents, second))
        let slot = try device.addKeySlot(second)
        #expect(slot == 1)
        #expect(opens(host.contents, first) && opens(host.contents, second))
        try device.removeKeySlot(0)
        #expect(!opens(host.contents, first) && opens(host.contents, second))
        #expect(throws: KeySlotChangeError.lastSlot(1)) { try device.removeKeySlot(1) }
        #expect(throws: KeySlotChangeError.noSuchSlot(0)) { try device.removeKeySlot(0) }
        #expect(throws: KeySlotChangeError.noSuchSlot(99)) { try device.removeKeySlot(99) }
        try device.close()
        #expect(opens(host.contents, second))
    }

    @Test func allSlotsCanBeUsed() throws {
        let host = MemoryBlockHost()
        let device = try prepared(host)
        for number: UInt8 in 1..<8 {
            #expect(try device.addKeySlot(DeviceTesting.keyFile(100 + number)) == Int(number))
        }
        #expect(throws: KeySlotChangeError.noFreeSlot) { try device.addKeySlot(second) }
        for number: UInt8 in 1..<8 { #expect(opens(host.contents, try DeviceTesting.keyFile(100 + number))) }
        try device.close()
    }

    @Test func whatIsNotCommittedIsInTheWay() throws {
        let device = try prepared(MemoryBlockHost())
        try DeviceTesting.write(device, 4, 44)
        #expect(throws: KeySlotChangeError.uncommittedChanges) { try device.addKeySlot(second) }
        try device.commit().wait()
        _ = try device.addKeySlot(second)
        try device.close()
    }

    /// A removed slot put back by the host stays refused: the root binds the slot's digest.
    @Test func aRemovedSlotPutBackIsRefused() throws {
        let host = MemoryBlockHost()
        let device = try prepared(host)
        _ = try device.addKeySlot(second)
        let slot = AlignedBuffer(byteCount: blockBytes)
        host.contents.read(Int(Layout.keySlot(1)) * blockBytes, into: slot.bytes)
        try device.removeKeySlot(1)
        try device.close()
        var contents = host.contents
        contents.write(Int(Layout.keySlot(1)) * blockBytes, UnsafeRawBufferPointer(slot.bytes))
        #expect(!opens(contents, second) && opens(contents, first))
        #expect(throws: VolumeError.keySlotRevoked(1)) {
            try SecureDevice.open(MemoryBlockHost(contents: contents), credential: second, mode: .readOnly)
        }
        // Nor does it come to be bound by somebody else's opening.
        let again = MemoryBlockHost(contents: contents)
        let reopened = try DeviceTesting.open(again)
        #expect(reopened.status.keySlots[1].state == .empty, "opening empties what the roots have as empty")
        // Nor does it prove anything while the volume is open.
        #expect(try reopened.keySlot(openedBy: first) == 0)
        #expect(throws: VolumeError.wrongCredential) { try reopened.keySlot(openedBy: second) }
        try again.beginWrite(
            at: Layout.keySlot(1) * UInt64(blockBytes), UnsafeRawBufferPointer(slot.bytes), durable: true
        ).wait()
        #expect(throws: VolumeError.keySlotRevoked(1)) { try reopened.keySlot(openedBy: second) }
        try DeviceTesting.write(reopened, 5, 55)
        try reopened.commit().wait()
        try reopened.close()
        #expect(!opens(again.contents, second) && opens(again.contents, first))
    }

    /// A slot that nothing names does not count as another when the last one would go.
    @Test func aStraySlotIsNoneToRelyOn() throws {
        let host = MemoryBlockHost()
        let device = try prepared(host)
        let slot = AlignedBuffer(byteCount: blockBytes)
        let bytes = try device.context.keys.slot(2, for: second, scrypt: .fast)
        slot.bytes.copyBytes(from: bytes)
        try device.close()
        var contents = host.contents
        contents.write(Int(Layout.keySlot(2)) * blockBytes, UnsafeRawBufferPointer(slot.bytes))
        let reader = try DeviceTesting.open(MemoryBlockHost(contents: contents), mode: .readOnly)
        #expect(reader.status.keySlots[2].state == .unbound)
        let writer = try DeviceTesting.open(MemoryBlockHost(contents: contents))
        #expect(throws: KeySlotChangeError.lastSlot(0)) { try writer.removeKeySlot(0) }
        #expect(try writer.addKeySlot(second) == 1)
    }

    /// A client that goes on writing: the slot is bound by its next commit.
    @Test func aSlotCanWaitForTheClient() throws {
        let host = MemoryBlockHost()
        let device = try prepared(host)
        try DeviceTesting.write(device, 4, 44)
        let second = second
        let adding = TestThread.Outcome { try device.addKeySlot(second, atNextCommit: true) }
        while device.monitor.locked({ !device.log.bothRootsWanted }) { sched_yield() }
        #expect(!opens(host.contents, second))
        try device.commit().wait()
        #expect(try adding.wait() == 1)
        #expect(opens(host.contents, second))
        try device.close()
    }

    /// A crash at any host write of adding and removing: what opened before or after still opens.
    @Test func noCrashLocksAnybodyOut() throws {
        let host = CrashHost()
        let device = try prepared(host)
        let before = host.eventCount
        _ = try device.addKeySlot(second)
        let added = host.eventCount
        try device.removeKeySlot(0)
        let removed = host.eventCount
        // Changing a secret, as the command does it: the new slot, then the old one.
        _ = try device.addKeySlot(first)
        try device.removeKeySlot(1)
        let changed = host.eventCount
        try device.close()
        var images = 0
        for event in before..<host.eventCount {
            for image in host.crashImages(at: event, .thorough(seed: 1)) {
                let contents = image.makeHost().contents
                let isFirst = opens(contents, first), isSecond = opens(contents, second)
                #expect(isFirst || isSecond, "\(image): nobody can open it")
                if event <= added { #expect(isFirst, "\(image): adding took the old slot away") }
                if event > added, event <= removed {
                    #expect(isSecond, "\(image): removing took the new slot away")
                }
                if event == removed + 1 { #expect(!isFirst, "\(image): a removed slot opens") }
                if event > changed { #expect(isFirst && !isSecond, "\(image): the changed secret") }
                images += 1
            }
        }
        #expect(images > 20)
    }
}
