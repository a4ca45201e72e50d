import SimHost
import Testing

@testable import SecureBlock

/// Questions to an open volume: who opens it, what is in it, what its parts are called.
@Suite struct OpenVolumeTests {
    private let host = MemoryBlockHost()
    private let device: SecureDevice

    init() throws {
        try DeviceTesting.create(host, blocks: 1300)
        device = try DeviceTesting.open(host)
        for block: UInt64 in [0, 1, 2, 511, 512, 513, 1299] { try DeviceTesting.write(device, block, block + 1) }
        try device.discard(LogicalBlock(1), count: 1)
        try device.commit().wait()
    }

    @Test func whoeverKnowsASecretProvesIt() throws {
        let passphrase = Credential.passphrase(try DeviceTesting.secret())
        #expect(try device.keySlot(openedBy: DeviceTesting.keyFile()) == 0)
        #expect(throws: VolumeError.noKeySlot) { try device.keySlot(openedBy: passphrase) }
        #expect(throws: VolumeError.wrongCredential) { try device.keySlot(openedBy: DeviceTesting.keyFile(9)) }
        #expect(try device.addKeySlot(passphrase, scrypt: .fast) == 1)
        #expect(try device.keySlot(openedBy: passphrase) == 1)
        // A slot that the host puts back after it was removed proves nothing.
        let slot = AlignedBuffer(byteCount: blockBytes), place = UInt64(blockBytes) * Layout.keySlot(1)
        try host.read(at: place, into: slot.bytes)
        try device.removeKeySlot(1)
        try host.write(at: place, UnsafeRawBufferPointer(slot.bytes))
        #expect(throws: VolumeError.keySlotRevoked(1)) { try device.keySlot(openedBy: passphrase) }
        #expect(try KeySlot.sound(on: host).map(\.kind).count == Layout.keySlotCount)
        host.tamper { SalvageSubject.destroy(&$0, [Layout.keySlot(4)]) }
        #expect(try KeySlot.sound(on: host).map(\.number) == [0, 1, 2, 3, 5, 6, 7])
        #expect(try KeySlot.sound(on: MemoryBlockHost()).isEmpty)
    }

    @Test func runsAreWhatIsStored() throws {
        var runs: [Range<UInt64>] = []
        try device.forEachRun { first, count throws(DeviceError) in
            runs.append(first.rawValue..<first.rawValue + UInt64(count))
        }
        #expect(runs.flatMap(Array.init) == [0, 2, 511, 512, 513, 1299])
    }

    @Test func countersAndNames() throws {
        #expect(device.status.counters.writeAmplification ?? 0 > 1)
        #expect(DeviceCounters().writeAmplification == nil)
        for suite in CipherSuite.allCases { #expect(CipherSuite(name: suite.name) == suite) }
        #expect(CipherSuite(name: "rot13") == nil)
        #expect(!device.isShortOfSpace)
        #expect(try device.physicalLocation(of: LogicalBlock(1)) == nil)
    }

    /// A volume that is closed answers with that, and says it once.
    @Test func closedIsSaid() throws {
        _ = try device.createSnapshot(DeviceTesting.name("kept"))
        try device.close()
        #expect(throws: DeviceError.closed) { try DeviceTesting.holds(device, 0, 1) }
        #expect(throws: DeviceError.closed) { try DeviceTesting.write(device, 0, 1) }
        #expect(throws: VolumeError.device(.closed)) { try device.openSnapshot(DeviceTesting.name("kept")) }
        #expect(throws: ResizeError.device(.closed)) { try device.resize(toBlocks: 2000) }
        #expect(throws: SnapshotError.device(.closed)) { try device.createSnapshot(DeviceTesting.name("late")) }
        #expect(throws: KeySlotChangeError.device(.closed)) { try device.addKeySlot(DeviceTesting.keyFile(9)) }
    }

    @Test func snapshotsAreCalledByTheirNames() throws {
        let name = try DeviceTesting.name("one")
        #expect(throws: VolumeError.noSuchSnapshot(name)) { try device.openSnapshot(name) }
        _ = try device.createSnapshot(name)
        let first = try device.openSnapshot(name), second = try device.openSnapshot(name)
        try first.close()
        #expect(throws: SnapshotError.inUse(name)) { try device.deleteSnapshot(name) }
        try second.close()
        try device.deleteSnapshot(name)
    }

    /// Rotation needs a free slot for everybody who is to open the volume afterwards.
    @Test func rotationNeedsFreeSlots() throws {
        let credentials = try (1...Layout.keySlotCount).map { try DeviceTesting.keyFile(UInt8(100 + $0)) }
        #expect(throws: KeySlotChangeError.noFreeSlot) {
            try device.rotateVolumeKey(for: credentials, droppingOtherSlots: true)
        }
        // A slot that cannot be read now is one that somebody may need.
        host.tamper { SalvageSubject.destroy(&$0, [Layout.keySlot(0)]) }
        #expect(throws: KeySlotChangeError.otherSlots([0])) { try device.rotateVolumeKey(for: [credentials[0]]) }
    }
}
