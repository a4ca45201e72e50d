import SimHost
import Testing

@testable import SecureBlock

/// As ``VolumeFailureTests``, of volumes that are not whole: calls fail while what is left is put together. What failed
/// is told as that, not as damage or as another's key, and afterwards all is there.
@Suite struct VolumeFailureRemnantTests {
    static let ways = [
        FailureWay(kind: .crypto, times: 1), FailureWay(kind: .crypto),
        FailureWay(kind: .host(.read, FailureWay.ioError), times: 1),
    ]
    private static let blocks = 60

    /// A volume without snapshots, its key changed, with blocks under both keys.
    private static let rotated = Result<(whole: SparseBytes, before: SparseBytes), any Error> {
        let host = MemoryBlockHost()
        let device = try DeviceTesting.made(host, blocks: UInt64(blocks))
        for block in 0..<UInt64(blocks) { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        let before = host.contents
        _ = try device.rotateVolumeKey(for: [DeviceTesting.keyFile()])
        for block in 0..<UInt64(10) { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        try device.close()
        return (host.contents, before)
    }

    /// Runs `work` with one call after the other failing, each time on a fresh copy.
    private func everyFailure(
        _ way: FailureWay, on contents: SparseBytes, _ work: (CrashHost) throws -> Void,
        afterwards: (SparseBytes) throws -> Void
    ) throws {
        var number = 0, isReached = true
        while isReached {
            let host = CrashHost(contents: contents)
            let outcome = way.run(from: number, host, nil) { try work(host) }
            isReached = outcome.isReached
            let message = "\(way), call \(number): \(outcome.error.map { "\($0)" } ?? "no error")"
            let isTyped = outcome.error.map { $0 is VolumeError || $0 is DeviceError } ?? true
            #expect(isTyped && (outcome.error == nil || isReached), "\(message)")
            if case .crypto = way.kind, case VolumeError.wrongCredential? = outcome.error {
                Issue.record("\(message)")
            }
            do { try afterwards(host.contents) } catch { Issue.record("\(message); then \(error)") }
            number += 1 + number / 40
        }
    }

    private func expectAll(_ contents: SparseBytes) throws {
        let device = try DeviceTesting.open(MemoryBlockHost(contents: contents), mode: .readOnly)
        for block in 0..<UInt64(Self.blocks) {
            #expect(try DeviceTesting.holds(device, block, block + 1), "block \(block)")
        }
    }

    /// A superblock copy is still of the older key, as a crash in the middle of a change leaves it.
    @Test(arguments: ways) func openingAHalfRotatedVolume(_ way: FailureWay) throws {
        let (whole, before) = try Self.rotated.get()
        var contents = whole
        let copy = AlignedBuffer(byteCount: blockBytes), offset = Int(Layout.superblocks[1]) * blockBytes
        before.read(offset, into: copy.bytes)
        contents.write(offset, UnsafeRawBufferPointer(copy.bytes))
        try everyFailure(way, on: contents) { host in
            let device = try DeviceTesting.open(host)
            for block in 0..<UInt64(Self.blocks) { _ = try DeviceTesting.holds(device, block, block + 1) }
            try device.close()
        } afterwards: {
            try expectAll($0)
        }
    }

    /// Without the segment table, which is made anew.
    @Test(arguments: ways) func rebuildingTheTable(_ way: FailureWay) throws {
        var contents = try Self.rotated.get().whole
        let volume = try ForgedVolume(contents)
        let pages = volume.unlocked.slots.flatMap { $0.root.tableTop.filter(\.exists).map(\.block.rawValue) }
        SalvageSubject.destroy(&contents, pages)
        func repair(_ host: any BlockHost) throws {
            var options = DeviceOptions()
            options.maintenance = .inline
            let repair = try VolumeRepair.open(
                host, credential: DeviceTesting.keyFile(), anchor: nil, options: options, findings: nil
            ) { _ in }
            try repair.finish()
        }
        try everyFailure(way, on: contents) {
            try repair($0)
        } afterwards: { left in
            let host = MemoryBlockHost(contents: left)
            try repair(host)
            try expectAll(host.contents)
        }
    }

    /// Without superblocks and roots: salvage goes by key slots and records alone.
    @Test(arguments: ways, [true, false]) func salvaging(_ way: FailureWay, hasRoots: Bool) throws {
        var contents = try Self.rotated.get().whole
        SalvageSubject.destroy(&contents, Layout.superblocks + (hasRoots ? [] : Layout.rootSlots))
        func salvage(_ host: any BlockHost) throws -> SparseBytes {
            let target = MemoryBlockHost()
            _ = try Salvage.run(
                host, credential: DeviceTesting.keyFile(), to: target, newCredential: DeviceTesting.keyFile())
            return target.contents
        }
        try everyFailure(way, on: contents) {
            _ = try salvage($0)
        } afterwards: { left in
            #expect(left.byteCount == contents.byteCount)
        }
        // Nothing was written to the volume: all that a salvage found before it finds again.
        let device = try DeviceTesting.open(
            MemoryBlockHost(contents: try salvage(MemoryBlockHost(contents: contents))))
        #expect(device.logicalBlockCount >= UInt64(Self.blocks))
    }
}
