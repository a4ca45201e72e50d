/// A place in the log.
package struct LogPosition: Hashable, Sendable {
    package var segment: UInt32
    /// Block within the segment.
    package var block: UInt32
    package init(segment: UInt32, block: UInt32) {
        self.segment = segment
        self.block = block
    }
}

/// A segment taken into use: which, and for which time.
package struct SegmentReference: Hashable, Sendable {
    package var segment: UInt32
    package var generation: Generation
    package init(segment: UInt32, generation: Generation) {
        self.segment = segment
        self.generation = generation
    }
}

/// The first block of a record. Headers form one chain: each names the tag of the one before (I3).
///
/// Clear part, stored and authenticated:
///
///        0  magic           4 bytes  "CMRH"
///        4  version         u16      1
///        6  data blocks     u16      that follow the header, 0…165
///        8  epoch           16 bytes
///       24  sequence        u64
///       32  segment         u32      where this header is
///       36  block           u32      … within the segment
///       40  generation      u32      … in that use of it
///       44  zero            u32
///       48  previous tag    16 bytes of the header with sequence − 1
///       64  root floor      u64      both root slots had at least this number, durably, when this was sealed (I12)
///       72  zero            16 bytes
///       88  tag             16 bytes over 0..<88 and the sealed part
///
/// Sealed part, at 104, offsets within it:
///
///        0  flags           u16      1 commit, 2 discard: entries are discards and losses, without blocks
///        2  stream          u8
///        3  zero            u8
///        4  entries         u16      0…165; as many as data blocks, but for a discard
///        6  zero            u16
///        8  durable         u64      highest sequence known durable when this was sealed (I5)
///       16  next segment    u32      where the stream goes on when this segment ends, already reserved (I4)
///       20  next generation u32
///       24  time            u64      milliseconds since the epoch
///       32  entries         165 × 24 bytes
package struct RecordHeader: Sendable {
    package static let magic: UInt32 = 0x4852_4D43
    package static let version: UInt16 = 1
    package static let maximumEntries = 165
    static let clearBytes = 88
    static let sealedOffset = 104
    static let sealedBytes = blockBytes - sealedOffset

    package struct Flags: OptionSet, Sendable, Hashable {
        package let rawValue: UInt16
        package init(rawValue: UInt16) { self.rawValue = rawValue }
        package static let commit = Flags(rawValue: 1)
        package static let discard = Flags(rawValue: 2)
    }

    package var dataBlocks: Int
    package var epoch: Tag
    package var sequence: SequenceNumber
    package var position: LogPosition
    package var generation: Generation
    package var previousTag: Tag
    package var flags: Flags
    package var stream: StreamID
    package var durable: SequenceNumber
    package var next: SegmentReference
    package var timeMilliseconds: UInt64
    /// The number that both root slots had at least, durably, when this was sealed: what only roots hold is no older.
    package var rootFloor: UInt64 = 0
    package var entries: [RecordEntry]
    /// The header's own tag; set by sealing or opening.
    package var tag: Tag = .zero

    /// The first block after the record, within its segment.
    package var end: UInt32 { position.block + 1 + UInt32(dataBlocks) }
    package var isCommit: Bool { flags.contains(.commit) }
}

/// What a header says in clear, before its tag is checked: enough to find the key, no more.
package struct ClearRecordHeader: Hashable, Sendable {
    package var dataBlocks: Int
    package var epoch: Tag
    package var sequence: SequenceNumber
    package var position: LogPosition
    package var generation: Generation
    package var previousTag: Tag
    package var rootFloor: UInt64
    package var tag: Tag

    /// - Returns: `nil` for bytes that no header begins with.
    package init?(_ block: UnsafeRawBufferPointer) {
        do throws(ParseError) {
            var reader = ByteReader(block)
            guard try reader.u32() == RecordHeader.magic, try reader.u16() == RecordHeader.version else {
                return nil
            }
            dataBlocks = Int(try reader.u16())
            epoch = try reader.tag()
            sequence = SequenceNumber(try reader.u64())
            let segment = try reader.u32()
            position = LogPosition(segment: segment, block: try reader.u32())
            generation = Generation(try reader.u32())
            try reader.zeros(4, field: "record header")
            previousTag = try reader.tag()
            rootFloor = try reader.u64()
            try reader.zeros(16, field: "record header")
            tag = try reader.tag()
            guard dataBlocks <= RecordHeader.maximumEntries, sequence <= Layout.maximumSequence else { return nil }
        } catch { return nil }
    }
}

extension RecordHeader {
    /// Seals the header into `block`, 4096 bytes, for its place `physical`; the tag is also kept in ``tag``.
    package mutating func seal(
        into block: UnsafeMutableRawBufferPointer, at physical: PhysicalBlock, _ key: SealingKey
    )
        throws(SealError)
    {
        precondition(entries.count <= Self.maximumEntries && dataBlocks <= entries.count)
        var clear = ByteWriter(block)
        clear.u32(Self.magic)
        clear.u16(Self.version)
        clear.u16(UInt16(dataBlocks))
        clear.tag(epoch)
        clear.u64(sequence.rawValue)
        clear.u32(position.segment)
        clear.u32(position.block)
        clear.u32(generation.rawValue)
        clear.u32(0)
        clear.tag(previousTag)
        clear.u64(rootFloor)
        clear.zeros(upTo: Self.clearBytes)
        clear.tag(.zero)
        clear.u16(flags.rawValue)
        clear.u8(stream.rawValue)
        clear.u8(0)
        clear.u16(UInt16(entries.count))
        clear.u16(0)
        clear.u64(durable.rawValue)
        clear.u32(next.segment)
        clear.u32(next.generation.rawValue)
        clear.u64(timeMilliseconds)
        for entry in entries { entry.write(to: &clear) }
        clear.zeros(upTo: blockBytes)
        let sealed = UnsafeMutableRawBufferPointer(rebasing: block[Self.sealedOffset...])
        guard let start = sealed.baseAddress else { preconditionFailure("a header is a block") }
        tag = try key.seal(
            UnsafeRawBufferPointer(sealed), into: start,
            nonce: Nonce(block: physical, generation: generation, domain: SealDomain.header),
            associatedData: UnsafeRawBufferPointer(
                rebasing: block[..<(Sabotage.isOn(.dropHeaderFields) ? 8 : Self.clearBytes)]))
        tag.store(into: UnsafeMutableRawBufferPointer(rebasing: block[Self.clearBytes..<Self.sealedOffset]))
    }

    /// Opens the header stored in `block` at `physical`.
    /// - Parameter scratch: 4096 bytes of the caller's; what was sealed passes through it.
    /// - Returns: `nil` when the tag does not match, or when what it authenticates is no header of this format.
    package static func open(
        _ block: UnsafeRawBufferPointer, _ clear: ClearRecordHeader, at physical: PhysicalBlock, _ key: SealingKey,
        scratch: UnsafeMutableRawBufferPointer
    ) throws(SealError) -> RecordHeader? {
        precondition(block.count == blockBytes && scratch.count >= sealedBytes)
        guard let output = scratch.baseAddress,
            try key.open(
                UnsafeRawBufferPointer(rebasing: block[sealedOffset...]), into: output,
                nonce: Nonce(block: physical, generation: clear.generation, domain: SealDomain.header),
                associatedData: UnsafeRawBufferPointer(
                    rebasing: block[..<(Sabotage.isOn(.dropHeaderFields) ? 8 : clearBytes)]), tag: clear.tag)
        else { return nil }
        do throws(ParseError) {
            return try RecordHeader(clear, sealed: UnsafeRawBufferPointer(rebasing: scratch[..<sealedBytes]))
        } catch { return nil }
    }

    private init(_ clear: ClearRecordHeader, sealed: UnsafeRawBufferPointer) throws(ParseError) {
        var reader = ByteReader(sealed)
        flags = Flags(rawValue: try reader.u16())
        guard let stream = StreamID(rawValue: try reader.u8()) else {
            throw .unexpected(field: "stream", position: 2)
        }
        self.stream = stream
        try reader.zeros(1, field: "record")
        let count = Int(try reader.u16())
        try reader.zeros(2, field: "record")
        durable = SequenceNumber(try reader.u64())
        guard durable < clear.sequence else { throw .unexpected(field: "durable", position: 8) }
        let segment = try reader.u32()
        next = SegmentReference(segment: segment, generation: Generation(try reader.u32()))
        timeMilliseconds = try reader.u64()
        guard count <= Self.maximumEntries,
            flags.contains(.discard) ? clear.dataBlocks == 0 : clear.dataBlocks == count
        else { throw .unexpected(field: "entry count", position: 4) }
        entries = []
        entries.reserveCapacity(count)
        for _ in 0..<count {
            let entry = try RecordEntry(parsing: &reader)
            guard entry.kind.hasBlock != flags.contains(.discard) else {
                throw .unexpected(field: "block kind", position: reader.position)
            }
            entries.append(entry)
        }
        dataBlocks = clear.dataBlocks
        epoch = clear.epoch
        sequence = clear.sequence
        position = clear.position
        generation = clear.generation
        previousTag = clear.previousTag
        rootFloor = clear.rootFloor
        tag = clear.tag
    }
}
