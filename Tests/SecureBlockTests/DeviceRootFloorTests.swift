import Testing

@testable import SecureBlock

/// What only roots hold cannot be wound back by putting older roots back beside the newer log.
@Suite struct DeviceRootFloorTests {
    enum Change: CaseIterable {
        case grow, shrink, addKey, removeKey, createSnapshot, deleteSnapshot, historyPolicy

        func make(on device: SecureDevice) throws {
            switch self {
            case .grow: try device.resize(toBlocks: 120)
            case .shrink: try device.resize(toBlocks: 50)
            case .addKey: _ = try device.addKeySlot(try DeviceTesting.keyFile(11))
            case .removeKey: try device.removeKeySlot(1)
            case .createSnapshot: _ = try device.createSnapshot(try #require(SnapshotName("new")))
            case .deleteSnapshot: try device.deleteSnapshot(try #require(SnapshotName("old")))
            case .historyPolicy: try device.setHistoryPolicy(HistoryPolicy(bytes: 1 << 16, isStrict: false))
            }
        }
    }

    /// A volume before a change and right after it was made, still open then, and the anchor's value.
    private func changed(_ change: Change, anchor: MemoryAnchor?) throws -> (
        before: SparseBytes, after: SparseBytes
    ) {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60, anchor: anchor)
        let device = try DeviceTesting.open(host, anchor: anchor)
        for block in 0..<40 as Range<UInt64> { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        _ = try device.addKeySlot(try DeviceTesting.keyFile(9))
        _ = try device.createSnapshot(try #require(SnapshotName("old")))
        let before = host.contents
        try change.make(on: device)
        if anchor == nil {
            try DeviceTesting.write(device, 3, 4)
            try device.commit().wait()
        }
        return (before, host.contents)
    }

    private func copy(_ blocks: [UInt64], from source: SparseBytes, to target: inout SparseBytes) {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        for block in blocks {
            source.read(Int(block) * blockBytes, into: buffer.bytes)
            target.write(Int(block) * blockBytes, UnsafeRawBufferPointer(buffer.bytes))
        }
    }

    /// With an anchor at once, without one as soon as the client has committed again.
    @Test(arguments: Change.allCases, [true, false])
    func olderRootsPutBackAreRefused(change: Change, isAnchored: Bool) throws {
        let anchor = isAnchored ? MemoryAnchor() : nil
        let (before, after) = try changed(change, anchor: anchor)
        var mixed = after
        copy(Layout.rootSlots + (0..<Layout.keySlotCount).map { Layout.keySlot($0) }, from: before, to: &mixed)
        for mode in [OpenMode.readOnly, .readWrite] {
            let error = #expect(throws: VolumeError.self) {
                _ = try DeviceTesting.open(
                    MemoryBlockHost(contents: mixed), anchor: try anchor.map { MemoryAnchor(try $0.load()) },
                    mode: mode)
            }
            guard case .rootsRolledBack(let found, let known) = error else {
                Issue.record("\(change): \(String(describing: error))")
                continue
            }
            #expect(found < known)
        }
        let whole = try DeviceTesting.open(
            MemoryBlockHost(contents: after), anchor: try anchor.map { MemoryAnchor(try $0.load()) })
        try whole.checkInvariants()
    }

    /// One slot alone, older or gone, changes nothing: the other is as new as the log says.
    @Test(arguments: Change.allCases, [0, 1])
    func oneOlderRootChangesNothing(change: Change, slot: Int) throws {
        let anchor = MemoryAnchor()
        let (before, after) = try changed(change, anchor: anchor)
        var mixed = after
        copy([Layout.rootSlots[slot]], from: before, to: &mixed)
        let opened = try DeviceTesting.open(
            MemoryBlockHost(contents: mixed), anchor: MemoryAnchor(try anchor.load()), mode: .readOnly)
        let whole = try DeviceTesting.open(
            MemoryBlockHost(contents: after), anchor: MemoryAnchor(try anchor.load()), mode: .readOnly)
        #expect(opened.logicalBlockCount == whole.logicalBlockCount)
        #expect(opened.snapshots.map(\.name) == whole.snapshots.map(\.name))
        #expect(opened.status.keySlots == whole.status.keySlots)
        #expect(opened.historyPolicy == whole.historyPolicy)
    }

    /// Records in order of time never go back to a lower floor, and none claims a root that is not there.
    @Test func theFloorFollowsTheSlots() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60)
        let device = try DeviceTesting.open(host, checkpointInterval: 20 * blockBytes)
        for round in 0..<30 as Range<UInt64> {
            for block in 0..<8 as Range<UInt64> { try DeviceTesting.writeWithCommits(device, block * 7, round + 1) }
            try device.commit().wait()
        }
        let roots = device.monitor.locked { device.log.roots.map(\.number) }
        let source = try SalvageSource(
            MemoryBlockHost(contents: host.contents), credential: DeviceTesting.keyFile(), segmentBytes: nil)
        let scan = RecordScan(source)
        var headers: [RecordHeader] = []
        try scan.run({ _, _ in }) { headers.append($0) }
        let floors = headers.sorted { $0.sequence < $1.sequence }.map(\.rootFloor)
        #expect(zip(floors, floors.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(try #require(floors.last) > 2 && floors.allSatisfy { $0 <= (roots.min() ?? 0) })
    }
}
