import SimHost
import Testing

@testable import SecureBlock

/// Structures that verify and contradict each other. Nobody without the key can make them; a bug of a writer could. Opening
/// refuses them with a typed error or goes on, a check names them, nothing traps, and no block reads as another.
@Suite struct ForgedVolumeTests {
    private static let blocks = 600

    /// - Parameter isClosed: with a last checkpoint; else with records after it.
    private func volume(isClosed: Bool = true, snapshot: Bool = false) throws -> ForgedVolume {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: UInt64(Self.blocks))
        let device = try DeviceTesting.open(host)
        for block in 0..<UInt64(40) { try DeviceTesting.write(device, block * 15, block + 1) }
        try device.commit().wait()
        if snapshot { _ = try device.createSnapshot(DeviceTesting.name("kept")) }
        try device.checkpointNow()
        for block in 0..<UInt64(10) { try DeviceTesting.write(device, block * 15, block + 101) }
        try device.discard(LogicalBlock(300), count: 20)
        try device.commit().wait()
        guard isClosed else { return try ForgedVolume(host.contents) }
        try device.close()
        return try ForgedVolume(host.contents)
    }

    // MARK: roots

    @Test func rootsThatDescribeNoVolume() throws {
        let volume = try volume()
        let outside = volume.geometry.segmentCount
        let changes: [(String, (inout Root) -> Void)] = [
            ("the stream outside", { $0.streams[0].position.segment = outside }),
            ("the stream's block outside", { $0.streams[1].position.block = 17 }),
            ("the next segment outside", { $0.streams[0].next.segment = outside }),
            ("another epoch's index", { $0.epochIndex += 1 }),
            ("no pages of the map", { $0.mapTop = [] }),
            ("no pages of the table", { $0.tableTop = [] }),
            ("more blocks than the log has", { $0.logicalBlocks = 1 << 30 }),
            ("epochs outside", { $0.epochPages[0].block = PhysicalBlock(1) }),
            ("epochs elsewhere", { $0.epochPages[0].generation = Generation(77) }),
            ("snapshots that are none", { $0.snapshotPages = [$0.epochPages[0]] }),
        ]
        for (label, change) in changes {
            var forged = volume
            try forged.sealRoot(change)
            #expect(forged.isRefusedAsCorrupt(), "\(label): \(String(describing: forged.openingError()))")
            do {
                let findings = try forged.findings()
                Issue.record("\(label): the check says \(findings)")
            } catch VolumeError.corrupt {}
        }
        var larger = volume
        try larger.sealRoot { $0.segmentCount += 40 }
        if case .truncated? = larger.openingError() {} else { Issue.record("a volume larger than its store") }
    }

    /// The list of snapshots, the epoch table and the segment table hold what no writer stores.
    @Test func pagesThatHoldNoneOfTheirKind() throws {
        var names = try volume(snapshot: true)
        let list = try names.sealPage(names.root.snapshotPages[0], BlockAssociation(.snapshotPage, address: 0)) {
            $0[SnapshotEntry.byteCount - 64] = UInt8(ascii: "/")
        }
        try names.sealRoot { $0.snapshotPages[0] = list }
        #expect(names.isRefusedAsCorrupt())

        var epochs = try volume()
        let table = try epochs.sealPage(epochs.root.epochPages[0], BlockAssociation(.epochPage, address: 0)) {
            $0[20] = 1
        }
        try epochs.sealRoot { $0.epochPages[0] = table }
        #expect(epochs.isRefusedAsCorrupt())

        var states = try volume()
        try states.sealTableByte(0, 0, 9)
        #expect(states.isRefusedAsCorrupt())
        // The rest of the table and the records tell what it held.
        #expect(states.openingError(rebuildsTable: true) == nil)
    }

    /// A snapshot's root that is another commit's, and one that needs segments which the table does not pin.
    @Test func snapshotsThatAreNot() throws {
        var volume = try volume(snapshot: true)
        let entry = try #require(volume.unlocked.snapshots.first)
        let pinned = try SecureDevice.segmentsNeeded(by: entry, volume.unlocked.context).sorted()
        try volume.sealTableByte(Int(pinned[0]), 2, 0)
        #expect(try volume.findings().contains("pins"))
        let device = try DeviceTesting.open(volume.host)
        #expect(throws: SnapshotError.damaged(entry.name, "the segment table does not pin what it needs")) {
            try device.deleteSnapshot(entry.name)
        }
        try device.close()

        var moved = try self.volume(snapshot: true)
        let list = try moved.sealPage(moved.root.snapshotPages[0], BlockAssociation(.snapshotPage, address: 0)) {
            $0.storeBytes(of: entry.commit.rawValue + 1, as: UInt64.self)
        }
        try moved.sealRoot { $0.snapshotPages[0] = list }
        #expect(try moved.findings().contains("snapshot"))
        if case .corrupt? = errorOfOpening(moved, .snapshot(entry.name)) {} else { Issue.record("opened") }
    }

    private func errorOfOpening(_ volume: ForgedVolume, _ mode: OpenMode) -> VolumeError? {
        do { _ = try DeviceTesting.open(volume.host, mode: mode) } catch { return error as? VolumeError }
        return nil
    }

    // MARK: the map

    /// Entries that point where no data can be, at a block of another, or carry flags that there are not.
    @Test func entriesOfTheMapThatPointNowhere() throws {
        let volume = try volume()
        let reader = try DeviceTesting.open(volume.host, mode: .readOnly)
        let place = try #require(try reader.physicalLocation(of: LogicalBlock(30)))
        try reader.lockWithMap(LogicalBlock(30), count: 1)
        let sound = reader.map.entry(LogicalBlock(30))
        reader.monitor.unlock()
        let entries: [(String, MapEntry)] = [
            ("before the log", MapEntry(block: PhysicalBlock(5), slot: 0)),
            ("behind the log", MapEntry(block: PhysicalBlock(1 << 39), slot: 0)),
            ("a header's place", MapEntry(block: place, slot: 200)),
            ("unknown flags", MapEntry(bits: sound.bits | 1 << 60)),
            ("a slot of nothing", MapEntry(bits: 3 << 40)),
        ]
        for (label, entry) in entries {
            var forged = volume
            try forged.sealMapEntry(31, entry)
            #expect(try forged.findings().contains("map-entry"), "\(label)")
            let device = try DeviceTesting.open(forged.host, mode: .readOnly)
            let buffer = AlignedBuffer(byteCount: blockBytes)
            buffer.bytes.initializeMemory(as: UInt8.self, repeating: 7)
            do {
                try device.read(LogicalBlock(31), into: buffer.bytes)
                Issue.record("\(label): it reads")
            } catch {
                if case DeviceError.unreadable(_, .mapMismatch) = error {
                } else {
                    Issue.record("\(label): \(error)")
                }
                #expect(buffer.bytes.allSatisfy { $0 == 0 }, "\(label)")
            }
            // The table cannot be made anew from such a map, or without that entry.
            _ = forged.openingError(rebuildsTable: true)
        }
        var shared = volume
        try shared.sealMapEntry(31, sound)
        #expect(try shared.findings().contains("map-shared"))
        let device = try DeviceTesting.open(shared.host, mode: .readOnly)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        #expect(throws: DeviceError.self) { try device.read(LogicalBlock(31), into: buffer.bytes) }
        #expect(try DeviceTesting.holds(device, 30, 103))
    }

    /// A block that another's record names does not become this one's, with any slot.
    @Test func entriesOfTheMapForAnotherRecord() throws {
        let volume = try volume()
        let reader = try DeviceTesting.open(volume.host, mode: .readOnly)
        try reader.lockWithMap(LogicalBlock(45), count: 1)
        let sound = reader.map.entry(LogicalBlock(45))
        reader.monitor.unlock()
        var forged = volume
        try forged.sealMapEntry(45, .none)
        let freed = forged.image
        forged = try ForgedVolume(freed)
        try forged.sealMapEntry(46, sound)
        #expect(try forged.findings().contains("map-header"))
        let device = try DeviceTesting.open(forged.host, mode: .readOnly)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        #expect(throws: DeviceError.self) { try device.read(LogicalBlock(46), into: buffer.bytes) }
    }

    // MARK: the table

    /// A segment under an epoch that there is none of: its blocks are errors, the others read.
    @Test func segmentsOfNoEpoch() throws {
        var volume = try volume()
        let reader = try DeviceTesting.open(volume.host, mode: .readOnly)
        let place = try #require(try reader.physicalLocation(of: LogicalBlock(30)))
        let segment = try #require(volume.geometry.position(place)).segment
        try volume.sealTableByte(Int(segment), 8, 200)
        #expect(try volume.findings().contains("segment-epoch"))
        let device = try DeviceTesting.open(volume.host)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        #expect(throws: DeviceError.self) { try device.read(LogicalBlock(30), into: buffer.bytes) }
        // The volume goes on, and the segment is never cleaned into something else.
        for step in 0..<UInt64(900) { try DeviceTesting.writeWithCommits(device, 100 + step % 90, step + 1) }
        try device.commit().wait()
        #expect(throws: DeviceError.self) { try device.read(LogicalBlock(30), into: buffer.bytes) }
        try device.close()
        #expect(try DeviceTesting.findings(MemoryBlockHost(contents: volume.host.contents)).isEmpty == false)
    }

    // MARK: records

    @Test func recordsThatContradictTheVolume() throws {
        let volume = try volume(isClosed: false)
        let outside = volume.geometry.segmentCount
        let changes: [(String, (inout RecordHeader) -> Void)] = [
            ("announces a segment outside", { $0.next.segment = outside }),
            (
                "names a block past the end",
                { header in
                    // Its data is not looked at.
                    header.durable = SequenceNumber(header.sequence.rawValue - 1)
                    for slot in header.entries.indices where header.entries[slot].kind == .data {
                        header.entries[slot].association.address = UInt64(Self.blocks)
                    }
                }
            ),
            (
                "discards past the end",
                { header in
                    for slot in header.entries.indices where header.entries[slot].kind == .discard {
                        header.entries[slot] = .discard(LogicalBlock(590), count: 11)
                    }
                }
            ),
        ]
        for (label, change) in changes {
            var forged = volume
            try forged.sealChain(change)
            let isRefused = forged.isRefusedAsCorrupt()
            #expect(isRefused, "\(label): \(String(describing: forged.openingError()))")
        }
        // Without a change it opens: it is not the sealing that is refused.
        var same = volume
        try same.sealChain { _ in }
        #expect(same.openingError() == nil)
    }

    /// A record that takes a block away from a segment which has none.
    @Test func recordsThatTakeWhatIsNotThere() throws {
        var volume = try volume(isClosed: false)
        let table = try SegmentTable.load(volume.root.tableTop, volume.unlocked.context)
        for segment in 0..<Int(volume.geometry.segmentCount) where table[UInt32(segment)].live > 0 {
            try volume.sealTableByte(segment, 12, 0)
            volume = try ForgedVolume(volume.image)
        }
        #expect(volume.isRefusedAsCorrupt())
        #expect(volume.openingError(rebuildsTable: true) == nil)
    }

    /// The older root leads elsewhere: the check says so, and the volume opens from the newer.
    @Test func olderRootsThatLeadNowhere() throws {
        let volume = try volume(isClosed: false)
        try #require(volume.unlocked.slots.count == 2)
        let newest = volume.unlocked.slots[0], older = volume.unlocked.slots[1]
        var image = volume.image
        let context = volume.unlocked.context
        var root = older.root
        root.streams[0].position.segment = volume.geometry.segmentCount
        root.commit.sequence = SequenceNumber(newest.root.commit.sequence.rawValue - 1)
        root.epoch = newest.root.epoch
        root.epochIndex = newest.root.epochIndex
        let sealed = try root.seal(
            try context.keys.rootKey(root.epoch, context.superblock.cipherSuite), volume: context.superblock.volume,
            superblockDigest: context.superblockDigest)
        image.write(Int(Layout.rootSlots[older.slot]) * blockBytes, UnsafeRawBufferPointer(sealed.bytes))
        let findings = try DeviceTesting.findings(MemoryBlockHost(contents: image))
        #expect(findings.map(\.kind) == ["older-root-stranded"])
        let device = try DeviceTesting.open(MemoryBlockHost(contents: image), mode: .readOnly)
        #expect(try DeviceTesting.holds(device, 0, 101))
    }

    // MARK: superblocks

    /// What a later program marks as no obstacle to reading is one to writing.
    @Test func laterFeaturesAreReadAndNotWritten() throws {
        var volume = try volume()
        try volume.sealSuperblocks { $0.readOnlyCompatible = 1 << 9 }
        let reader = try DeviceTesting.open(volume.host, mode: .readOnly)
        #expect(try DeviceTesting.holds(reader, 0, 101))
        #expect(
            volume.openingError() == .unknownFeatures(incompatible: 0, readOnlyCompatible: 1 << 9))
    }

    // MARK: pages of pages

    /// Interior pages of the map that verify and hold no pointers: the check names one, and salvage goes by the records.
    @Test func pagesOfPagesThatAreNone() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 20_000)
        let device = try DeviceTesting.open(host)
        for block in stride(from: UInt64(0), to: 20_000, by: 700) {
            try DeviceTesting.write(device, block, block + 1)
        }
        try device.commit().wait()
        try device.checkpointNow()
        try device.close()
        var volume = try ForgedVolume(host.contents)
        let page = try volume.sealPage(volume.root.mapTop[0], BlockAssociation(.mapPage, level: 1, address: 0)) {
            $0.storeBytes(of: UInt64.max, toByteOffset: 0, as: UInt64.self)
        }
        try volume.sealRoot { $0.mapTop[0] = page }
        let found = try DeviceTesting.findings(volume.host).filter { $0.kind == "map-page" }
        #expect(found.count == 1 && found[0].message.contains("it verifies and is none"))
        let reader = try DeviceTesting.open(volume.host, mode: .readOnly)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        #expect(throws: DeviceError.self) { try reader.read(LogicalBlock(700), into: buffer.bytes) }
        #expect(volume.isRefusedAsCorrupt(rebuildsTable: true))
        let run = try SalvageRun(volume.image)
        #expect(run.report.lostMapPages > 0)
        for block in stride(from: UInt64(0), to: 20_000, by: 700) {
            #expect(try run.block(block, is: block + 1) == .value, "block \(block)")
        }
    }
}
