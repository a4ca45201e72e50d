import Testing

@testable import SecureBlock

/// Every field of a stored structure at the border of what it may hold: one step further is no such structure.
@Suite struct StoredLimitTests {
    private let pointer = PagePointer(
        block: PhysicalBlock(600), generation: Generation(1), epochIndex: 0, tag: Tag(low: 1, high: 2))

    /// Writes something, changes its bytes, and parses what that is.
    private func parsed<Value>(
        _ write: (inout ByteWriter) -> Void, _ parse: (inout ByteReader) throws -> Value,
        changed change: (UnsafeMutableRawBufferPointer) -> Void = { _ in }
    ) throws -> Value {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        var writer = ByteWriter(buffer.bytes)
        write(&writer)
        change(buffer.bytes)
        var reader = ByteReader(UnsafeRawBufferPointer(buffer.bytes))
        return try parse(&reader)
    }

    // MARK: entries

    @Test func pagePointers() throws {
        var far = pointer
        far.block = PhysicalBlock(1 << 40 - 1)
        #expect(try parsed(far.write, PagePointer.init(parsing:)) == far)
        far.block = PhysicalBlock(1 << 40)
        #expect(throws: ParseError.self) { try parsed(far.write, PagePointer.init(parsing:)) }
    }

    @Test func segmentEntries() throws {
        var entry = SegmentEntry()
        entry.pins = UInt16(SnapshotEntry.maximumCount)
        entry.live = 2 << UInt32(Layout.segmentBlocksLog2.upperBound)
        #expect(try parsed(entry.write, SegmentEntry.init(parsing:)) == entry)
        for (offset, byte) in [(0, 3), (1, 9), (3, 255), (15, 1)] as [(Int, UInt8)] {
            #expect(throws: ParseError.self, "byte \(offset)") {
                try parsed(entry.write, SegmentEntry.init(parsing:)) { $0[offset] = byte }
            }
        }
    }

    @Test func snapshotEntries() throws {
        let entry = SnapshotEntry(
            commit: Layout.maximumSequence, timeMilliseconds: 1, rootCopy: pointer,
            name: try DeviceTesting.name("a name"))
        #expect(try parsed(entry.write, SnapshotEntry.init(parsing:)) == entry)
        let changes: [(String, (UnsafeMutableRawBufferPointer) -> Void)] = [
            ("a commit that there cannot be", { $0[0] = 1 }), ("a name that is too long", { $0[48] = 65 }),
            ("no root", { $0.storeBytes(of: 0, toByteOffset: 16, as: UInt64.self) }),
            ("no text", { $0[64] = 0xFF }), ("a path", { $0[64] = UInt8(ascii: "/") }),
            ("something behind the name", { $0[100] = 1 }),
        ]
        for (label, change) in changes {
            #expect(throws: ParseError.self, "\(label)") {
                try parsed(entry.write, SnapshotEntry.init(parsing:), changed: change)
            }
        }
        #expect(try SnapshotEntry.parse(SnapshotEntry.serialised([entry])) == [entry])
        #expect(throws: ParseError.self) { try SnapshotEntry.parse(SnapshotEntry.serialised([entry, entry])) }
    }

    @Test func policies() throws {
        let policy = HistoryPolicy(seconds: .max, bytes: .max, isStrict: true)
        #expect(try parsed(policy.write, HistoryPolicy.init(parsing:)) == policy)
        for offset in [7, 16] {
            #expect(throws: ParseError.self) {
                try parsed(policy.write, HistoryPolicy.init(parsing:)) { $0[offset] = 2 }
            }
        }
        #expect(AnchorPolicy.everyCommit.description == "every commit")
        for text in ["1", "2", "1500ms", "2s,1", "500ms,100"] {
            let policy = try #require(AnchorPolicy(text))
            #expect(policy.description.contains("1 commit behind") == ["1", "2s,1"].contains(text), "\(policy)")
        }
    }

    @Test func anchorValues() throws {
        let value = AnchorValue(
            volume: try VolumeIdentifier.random(), sequence: SequenceNumber(9), tag: Tag(low: 1, high: 2))
        #expect(try parsed(value.write, AnchorValue.init(parsing:)) == value)
        for offset in [0, 8, 10] {
            #expect(throws: ParseError.self, "byte \(offset)") {
                try parsed(value.write, AnchorValue.init(parsing:)) { $0[offset] ^= 3 }
            }
        }
    }

    // MARK: headers

    /// A header that verifies and is none: who has the key sealed it so.
    @Test func recordHeaders() throws {
        let key = try SealingKey(key: try SecretBytes.random(byteCount: 32))
        let place = PhysicalBlock(700)
        func header(_ flags: RecordHeader.Flags, _ entries: [RecordEntry]) -> RecordHeader {
            RecordHeader(
                dataBlocks: flags.contains(.discard) ? 0 : entries.count, epoch: Tag(low: 1, high: 1),
                sequence: SequenceNumber(5), position: LogPosition(segment: 1, block: 2), generation: Generation(1),
                previousTag: .zero, flags: flags, stream: .user, durable: SequenceNumber(4),
                next: SegmentReference(segment: 3, generation: Generation(1)), timeMilliseconds: 1, entries: entries
            )
        }
        let block = AlignedBuffer(byteCount: blockBytes), scratch = AlignedBuffer(byteCount: blockBytes)
        func opened(
            _ header: RecordHeader, _ change: (UnsafeMutableRawBufferPointer) -> Void = { _ in }
        ) throws -> RecordHeader? {
            var header = header
            try header.seal(into: block.bytes, at: place, key)
            // What is sealed, changed and sealed again under the same clear bytes.
            let sealed = UnsafeMutableRawBufferPointer(rebasing: block.bytes[RecordHeader.sealedOffset...])
            let clearBytes = UnsafeRawBufferPointer(rebasing: block.bytes[..<RecordHeader.clearBytes])
            let nonce = Nonce(block: place, generation: header.generation, domain: SealDomain.header)
            let start = sealed.baseAddress!
            #expect(
                try key.open(
                    UnsafeRawBufferPointer(sealed), into: start, nonce: nonce, associatedData: clearBytes,
                    tag: header.tag))
            change(sealed)
            let tag = try key.seal(
                UnsafeRawBufferPointer(sealed), into: start, nonce: nonce, associatedData: clearBytes)
            tag.store(
                into: UnsafeMutableRawBufferPointer(
                    rebasing: block.bytes[RecordHeader.clearBytes..<RecordHeader.sealedOffset]))
            let stored = UnsafeRawBufferPointer(block.bytes)
            let clear = try #require(ClearRecordHeader(stored))
            return try RecordHeader.open(stored, clear, at: place, key, scratch: scratch.bytes)
        }
        let data = header([.commit], [RecordEntry(BlockAssociation(.data, address: 7), tag: .zero)])
        let discard = header([.discard], [.discard(LogicalBlock(1), count: 2)])
        #expect(try opened(data)?.entries == data.entries && opened(discard)?.entries == discard.entries)
        let changes: [(String, RecordHeader, (UnsafeMutableRawBufferPointer) -> Void)] = [
            ("a stream that there is not", data, { $0[2] = 9 }), ("something reserved", data, { $0[3] = 1 }),
            ("more entries than blocks", data, { $0[4] = 2 }),
            ("durable before it was sealed", data, { $0[8] = 5 }),
            ("a kind that there is not", data, { $0[32] = 99 }),
            ("a discard among blocks", data, { $0[32] = BlockKind.discard.rawValue }),
            ("a block among discards", discard, { $0[32] = BlockKind.data.rawValue }),
            ("blocks behind discards", data, { $0[0] = 2 }),
            ("more entries than fit", discard, { $0[4] = 166 }),
        ]
        for (label, header, change) in changes { #expect(try opened(header, change) == nil, "\(label)") }
    }

    @Test func roots() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60)
        let root = try ForgedVolume(host.contents).root
        func parsedAgain(_ change: (inout Root) -> Void) throws -> Root {
            var changed = root
            change(&changed)
            let buffer = AlignedBuffer(byteCount: blockBytes)
            var writer = ByteWriter(buffer.slice(0, Root.payloadBytes))
            changed.write(to: &writer)
            return try Root(
                parsingPayload: UnsafeRawBufferPointer(buffer.slice(0, Root.payloadBytes)), number: root.number)
        }
        #expect(try parsedAgain { _ in } == root)
        let changes: [(String, (inout Root) -> Void)] = [
            ("no blocks", { $0.logicalBlocks = 0 }), ("no segments", { $0.segmentCount = 0 }),
            ("more blocks than there may be", { $0.logicalBlocks = Layout.maximumLogicalBlocks + 1 }),
            ("more spare than there may be", { $0.sparePerMille = Layout.maximumSparePerMille + 1 }),
            (
                "a commit beyond the last",
                { $0.commit.sequence = SequenceNumber(Layout.maximumSequence.rawValue + 1) }
            ),
            ("too wide a map", { $0.mapTop = Array(repeating: .none, count: Root.maximumTop + 1) }),
            ("too many epochs", { $0.epochPages = Array(repeating: .none, count: Epoch.maximumPages + 1) }),
        ]
        for (label, change) in changes {
            #expect(throws: ParseError.self, "\(label)") { try parsedAgain(change) }
        }
    }

    /// A slot that claims a number which no nonce has room for is as if nothing was written there.
    @Test func rootNumbers() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60)
        try DeviceTesting.open(host).close()
        for slot in Layout.rootSlots {
            var image = host.contents
            image.write(Int(slot) * blockBytes + 13, [1])
            let copy = MemoryBlockHost(contents: image)
            let device = try DeviceTesting.open(copy, mode: .readOnly)
            #expect(try DeviceTesting.holds(device, 1, 0))
        }
    }

    @Test func superblocks() throws {
        let key = try SecretBytes.random(byteCount: 32)
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60)
        let sound = try ForgedVolume(host.contents).unlocked.context.superblock
        let block = try sound.serialise(key: key)
        #expect(try Superblock.parse(UnsafeRawBufferPointer(block.bytes)) == sound)
        for (offset, byte) in [(10, 13), (11, 3), (11, 15), (12, 99), (14, 1), (9, 0)] as [(Int, UInt8)] {
            let changed = try sound.serialise(key: key)
            // Version 0 there never was.
            if offset == 9 { changed.bytes[8] = 0 } else { changed.bytes[offset] = byte }
            let sum = try Digest.sha256(
                UnsafeRawBufferPointer(rebasing: changed.bytes[..<Superblock.checksumOffset]))
            UnsafeMutableRawBufferPointer(rebasing: changed.bytes[Superblock.checksumOffset...]).copyBytes(
                from: sum)
            #expect(throws: VolumeError.superblocksDamaged, "byte \(offset)") {
                try Superblock.parse(UnsafeRawBufferPointer(changed.bytes))
            }
        }
    }

    @Test func geometries() {
        #expect(Geometry.planned(logicalBlocks: 0, segmentBlocks: 16, sparePerMille: 0) == nil)
        let most = Layout.maximumLogicalBlocks
        #expect(Geometry.planned(logicalBlocks: most, segmentBlocks: 16, sparePerMille: 0) == nil)
        #expect(Geometry.planned(logicalBlocks: most, segmentBlocks: 16384, sparePerMille: 60) != nil)
        #expect(Geometry.planned(logicalBlocks: most + 1, segmentBlocks: 16384, sparePerMille: 60) == nil)
        let geometry = Geometry(segmentBlocks: 16, segmentCount: 4, logicalBlocks: 9)
        let first = geometry.firstSegmentBlock
        #expect(geometry.position(PhysicalBlock(first - 1)) == nil)
        #expect(geometry.position(PhysicalBlock(first + 64)) == nil)
        #expect(geometry.position(PhysicalBlock(first + 63)) == LogPosition(segment: 3, block: 15))
    }

    /// Numbers of different kinds are written and read as what they count.
    @Test func numbersKeepTheirValue() {
        for value in [0, 1, 1 << 40, UInt64.max] {
            #expect(LogicalBlock(rawValue: value) == LogicalBlock(value))
            #expect(PhysicalBlock(rawValue: value) == PhysicalBlock(value))
            #expect(SequenceNumber(rawValue: value) == SequenceNumber(value))
        }
        #expect(Generation(rawValue: .max) == Generation(.max) && Generation(0) < Generation(rawValue: 1))
    }
}
