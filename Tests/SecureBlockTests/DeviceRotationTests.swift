import Glibc
import SimHost
import Testing

@testable import SecureBlock

@Suite struct DeviceRotationTests {
    private let first: Credential, second: Credential
    private let blocks: UInt64 = 60

    init() throws {
        first = try DeviceTesting.keyFile(7)
        second = try DeviceTesting.keyFile(9)
    }

    private func prepared(_ host: any BlockHost, anchor: (any Anchor)? = nil, cipher: CipherSuite = .aes256GCM)
        throws -> SecureDevice
    {
        try DeviceTesting.create(host, blocks: blocks, cipher: cipher, anchor: anchor)
        let device = try DeviceTesting.open(host, anchor: anchor)
        for block in 0..<blocks { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        return device
    }

    private func open(
        _ contents: SparseBytes, _ credential: Credential, anchor: (any Anchor)? = nil,
        mode: OpenMode = .readWrite
    ) throws -> SecureDevice {
        var options = DeviceOptions()
        options.maintenance = .inline
        return try SecureDevice.open(
            MemoryBlockHost(contents: contents), credential: credential, anchor: anchor, mode: mode,
            options: options)
    }

    private func opens(_ contents: SparseBytes, _ credential: Credential) -> Bool {
        do {
            let device = try open(contents, credential, mode: .readOnly)
            return try DeviceTesting.holds(device, 3, 4)
        } catch { return false }
    }

    private func expectContents(_ device: SecureDevice) throws {
        for block in 0..<blocks { #expect(try DeviceTesting.holds(device, block, block + 1), "block \(block)") }
    }

    @Test(arguments: CipherSuite.allCases) func aRotatedVolumeGoesOn(cipher: CipherSuite) throws {
        let host = MemoryBlockHost()
        let device = try prepared(host, cipher: cipher)
        let before = host.contents
        #expect(try device.rotateVolumeKey(for: [first]) == [1])
        #expect(device.status.keyVersion == 1 && device.status.reseal.olderKeys == [0])
        #expect(device.status.keySlots.map(\.state) == [.empty, .keyFile] + Array(repeating: .empty, count: 6))
        try expectContents(device)
        try DeviceTesting.write(device, 3, 4)
        try device.commit().wait()
        #expect(opens(host.contents, first))
        // The old slot, put back, is of no use.
        var mixed = host.contents
        let slot = AlignedBuffer(byteCount: blockBytes)
        before.read(Int(Layout.keySlot(0)) * blockBytes, into: slot.bytes)
        mixed.write(Int(Layout.keySlot(0)) * blockBytes, UnsafeRawBufferPointer(slot.bytes))
        #expect(opens(mixed, first), "the other slot still opens it")
        let empty = try KeySlot.empty(slot: 1, volume: device.status.volume)
        empty.withUnsafeBytes { mixed.write(Int(Layout.keySlot(1)) * blockBytes, $0) }
        #expect(!opens(mixed, first))
        try device.close()

        let again = try open(host.contents, first)
        #expect(again.status.keyVersion == 1 && again.status.reseal.olderKeys == [0])
        #expect(again.status.damagedSuperblocks == [])
        try expectContents(again)
        #expect(try again.reseal().isDone)
        try expectContents(again)
        #expect(again.context.keys.olderVersions == [])
        #expect(again.context.epochs.indices(before: 1).isEmpty)
        #expect(again.status.reseal == ResealProgress(segments: 0, olderKeys: [], pinnedSegments: 0))
        try again.checkInvariants()
        try again.close()
    }

    /// After sealing again, neither root nor anything they need is under the old key.
    @Test func nothingNeedsTheOldKeyAfterwards() throws {
        let host = MemoryBlockHost()
        let device = try prepared(host)
        _ = try device.rotateVolumeKey(for: [second], droppingOtherSlots: true)
        #expect(try device.reseal().isDone)
        try device.close()
        let unlocked = try UnlockedVolume(
            MemoryBlockHost(contents: host.contents), credential: second, forWriting: false)
        #expect(unlocked.slots.count == 2)
        for slot in unlocked.slots { #expect(slot.root.olderKeys.isEmpty && slot.root.keyVersion == 1) }
        #expect(unlocked.context.epochs.epochs.allSatisfy { $0.isFree || $0.keyVersion == 1 })
        var options = VolumeCheck.Options()
        options.readsData = true
        _ = try VolumeCheck.run(
            MemoryBlockHost(contents: host.contents), credential: second, anchor: nil, options: options,
            progress: { _, _ in },
            report: { finding in #expect(finding.severity == .note, "\(finding)") })
        try expectContents(try open(host.contents, second, mode: .readOnly))
    }

    /// Commits made under the new key still needed blocks under the old one, until those were sealed again: once the old key
    /// is gone, what is listed reads whole.
    @Test func historyEndsWhereTheOldKeyWasLastNeeded() throws {
        let host = MemoryBlockHost()
        let device = try prepared(host)
        _ = try device.rotateVolumeKey(for: [first])
        try DeviceTesting.write(device, 3, 100)
        try device.commit().wait()
        #expect(try device.reseal().isDone)
        try DeviceTesting.write(device, 3, 4)
        try device.commit().wait()
        try device.close()
        let listed = try SecureDevice.history(MemoryBlockHost(contents: host.contents), credential: first)
        #expect(!listed.isEmpty)
        for record in listed {
            let earlier = try open(host.contents, first, mode: .readOnlyAt(record.sequence))
            for block in 0..<blocks where block != 3 { #expect(try DeviceTesting.holds(earlier, block, block + 1)) }
        }
    }

    @Test func slotsOfOthersAreAskedFor() throws {
        let host = MemoryBlockHost()
        let device = try prepared(host)
        _ = try device.addKeySlot(second)
        #expect(throws: KeySlotChangeError.otherSlots([1])) { try device.rotateVolumeKey(for: [first]) }
        #expect(try device.rotateVolumeKey(for: [first, second]) == [2, 3])
        #expect(opens(host.contents, first) && opens(host.contents, second))
        _ = try device.rotateVolumeKey(for: [second], droppingOtherSlots: true)
        #expect(!opens(host.contents, first) && opens(host.contents, second))
        try DeviceTesting.write(device, 1, 2)
        #expect(throws: KeySlotChangeError.uncommittedChanges) { try device.rotateVolumeKey(for: [second]) }
        try device.commit().wait()
        for _ in 0..<2 { _ = try device.rotateVolumeKey(for: [second]) }
        #expect(throws: KeySlotChangeError.tooManyKeys) { try device.rotateVolumeKey(for: [second]) }
        #expect(device.status.reseal.olderKeys == [0, 1, 2, 3])
        try expectContents(device)
        #expect(try device.reseal().isDone)
        _ = try device.rotateVolumeKey(for: [second])
        try expectContents(device)
        try device.close()
        try expectContents(try open(host.contents, second))
    }

    /// A crash at every event of a rotation and of all that follows: the volume opens with the old secret or the new one,
    /// in the state that it had.
    @Test(arguments: [true, false]) func everyCrashOpensUnderOneKey(usesAnchor: Bool) throws {
        let host = CrashHost(), anchor = SimAnchor(host)
        let device = try prepared(host, anchor: usesAnchor ? anchor : nil)
        let start = host.eventCount
        _ = try device.rotateVolumeKey(for: [second], droppingOtherSlots: true)
        let rotated = host.eventCount
        host.mark(1)
        _ = try device.reseal()
        try device.close()
        var images = 0, byOld = 0, byNew = 0
        var inline = DeviceOptions()
        inline.maintenance = .inline
        for event in start..<host.eventCount {
            for image in host.crashImages(at: event, event <= rotated ? .thorough(seed: 3) : .quick) {
                images += 1
                var opened = 0
                for credential in [first, second] {
                    let store = image.makeHost()
                    do {
                        let device = try SecureDevice.open(
                            store, credential: credential, anchor: usesAnchor ? image.makeAnchor() : nil,
                            options: inline)
                        opened += 1
                        if credential.isSame(first) { byOld += 1 } else { byNew += 1 }
                        try expectContents(device)
                        try device.checkInvariants()
                        try device.close()
                        // And once more after the recovery, which finished what was begun.
                        let again = try open(store.contents, credential, mode: .readOnly).status
                        #expect(again.damagedSuperblocks == [] && again.damagedRoots == [], "\(image)")
                    } catch is VolumeError { continue }
                }
                #expect(opened > 0, "\(image): nobody can open it")
                if event > rotated { #expect(!opens(image.makeHost().contents, first), "\(image)") }
            }
        }
        #expect(images > 50 && byOld > 10 && byNew > 10)
        #expect(host.violations.isEmpty)
    }

    /// A client that goes on writing: the key changes with its next commit, and what it has not committed stays its own.
    @Test func aClientsNextCommitChangesTheKey() throws {
        let host = MemoryBlockHost()
        let device = try prepared(host)
        try DeviceTesting.write(device, 3, 99)
        let second = second
        let rotation = TestThread.Outcome {
            try device.rotateVolumeKey(for: [second], droppingOtherSlots: true, atNextCommit: true)
        }
        while device.monitor.locked({ device.log.rotation == nil }) { sched_yield() }
        #expect(!opens(host.contents, second))
        try device.commit().wait()
        #expect(try rotation.wait() == [1])
        let reopened = try open(host.contents, second, mode: .readOnly)
        #expect(try DeviceTesting.holds(reopened, 3, 99))
        try device.close()
    }

    /// Epochs that end by themselves: the device's contents are the model's throughout.
    @Test(arguments: [1, 2] as [UInt64]) func epochsEndAfterSoManyBlocks(seed: UInt64) throws {
        let host = MemoryBlockHost(), anchor = MemoryAnchor()
        try DeviceTesting.create(host, blocks: blocks, anchor: anchor)
        var options = DeviceOptions()
        options.maintenance = .inline
        options.epochBlockLimit = 40
        var generator = SimRandom(seed: seed)
        var model = [UInt64](repeating: 0, count: Int(blocks))
        let device = try SecureDevice.open(host, credential: first, anchor: anchor, options: options)
        var epochs: Set<Tag> = []
        for step: UInt64 in 1...200 {
            let block = UInt64.random(in: 0..<blocks, using: &generator)
            do {
                try DeviceTesting.write(device, block, step)
                model[Int(block)] = step
            } catch { guard DeviceTesting.isShortOfSpace(error) else { throw error } }
            if step % 5 == 0 { try device.commit().wait() }
            epochs.insert(device.monitor.locked { device.log.epoch.identifier })
        }
        #expect(epochs.count > 4)
        try device.commit().wait()
        try device.checkInvariants()
        #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model))
        let again = try open(host.contents, first, anchor: anchor)
        #expect(try DeviceTesting.contents(again) == DeviceTesting.contents(of: model))
    }
}

extension Credential {
    fileprivate func isSame(_ other: Credential) -> Bool {
        switch (self, other) {
        case (.keyFile(let left), .keyFile(let right)), (.passphrase(let left), .passphrase(let right)):
            left == right
        default: false
        }
    }
}
