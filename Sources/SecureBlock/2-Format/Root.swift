/// A checkpoint's root: all that is needed to find the state as of one commit, `C`, and to roll forward from it.
///
/// Stored in one of two slots, alternately, and once in the log, so that earlier roots stay reachable. In a slot:
///
///        0  magic    4 bytes  "CMRT"
///        4  version  u16      2
///        6  zero     u16
///        8  number   u64      new for every slot write; part of the nonce
///       16  epoch    16 bytes
///       32  zero     32 bytes
///       64  tag      16 bytes over 0..<64, the volume identifier, the superblock's SHA-256, and the payload
///       80  payload  4016 bytes, sealed
///
/// The payload's fields follow one another as ``write(to:)`` lists them.
package struct Root: Hashable, Sendable {
    package static let magic: UInt32 = 0x5452_4D43
    package static let version: UInt16 = 2
    static let clearBytes = 64
    static let payloadOffset = 80
    package static let payloadBytes = blockBytes - payloadOffset
    /// A tree's top level never has more pages than this.
    package static let maximumTop = 8
    package static let maximumLevels = 8

    /// Where a stream stood at commit `C`.
    package struct Stream: Hashable, Sendable {
        /// The next record's header, or just past the segment's end.
        package var position: LogPosition
        package var generation: Generation
        package var next: SegmentReference
    }

    /// An earlier root's copy in the log.
    package struct Previous: Hashable, Sendable {
        package var pointer: PagePointer
        package var commit: SequenceNumber
    }

    /// A commit by number and header tag.
    package struct Commit: Hashable, Sendable {
        package var sequence: SequenceNumber
        package var tag: Tag
        package init(sequence: SequenceNumber, tag: Tag) {
            self.sequence = sequence
            self.tag = tag
        }
    }

    package var number: UInt64
    package var epoch: Tag
    package var epochIndex: UInt32
    /// The commit this root describes.
    package var commit: Commit
    package var timeMilliseconds: UInt64
    /// What the anchor held, confirmed, when this was written; `nil` on a volume without an anchor (I12).
    package var anchored: Commit?
    /// Where the branch before this epoch was cut, when an open wrote this root.
    package var recoveredFrom: Commit
    package var streams: [Stream]
    package var logicalBlocks: UInt64
    package var segmentCount: UInt32
    /// No commit before this one is whole any more.
    package var historyHorizon: SequenceNumber
    package var previous: Previous?
    /// The topmost level of the map: interior pages, or leaves where those are few.
    package var mapTop: [PagePointer]
    package var tableTop: [PagePointer]
    package var epochPages: [PagePointer]
    /// Truncated SHA-256 of every key slot, so that a slot of another time is told from the present one.
    package var keySlotDigests: [Tag]
    package var snapshotPages: [PagePointer] = []
    package var historyPolicy = HistoryPolicy.none
    /// Room beyond the logical size, in per mille of it, that the geometry was planned with.
    package var sparePerMille: UInt32 = 0
    /// Blocks that the log had taken in all its life, up to and including ``commit``.
    package var logBlocks: UInt64 = 0
    package var anchorPolicy = AnchorPolicy.everyCommit
    /// Which volume key the root's own epoch comes from, the first commit under that key, and the keys before it that
    /// something still needs.
    package var keyVersion: UInt32 = 0
    package var keySince = SequenceNumber(0)
    package var olderKeys: [SealedVolumeKey] = []

    package init(
        number: UInt64, epoch: Tag, epochIndex: UInt32, commit: Commit, timeMilliseconds: UInt64, anchored: Commit?,
        recoveredFrom: Commit, streams: [Stream], logicalBlocks: UInt64, segmentCount: UInt32,
        historyHorizon: SequenceNumber, previous: Previous?, mapTop: [PagePointer], tableTop: [PagePointer],
        epochPages: [PagePointer], keySlotDigests: [Tag]
    ) {
        self.number = number
        self.epoch = epoch
        self.epochIndex = epochIndex
        self.commit = commit
        self.timeMilliseconds = timeMilliseconds
        self.anchored = anchored
        self.recoveredFrom = recoveredFrom
        self.streams = streams
        self.logicalBlocks = logicalBlocks
        self.segmentCount = segmentCount
        self.historyHorizon = historyHorizon
        self.previous = previous
        self.mapTop = mapTop
        self.tableTop = tableTop
        self.epochPages = epochPages
        self.keySlotDigests = keySlotDigests
    }

    package func write(to writer: inout ByteWriter) {
        precondition(streams.count == StreamID.allCases.count && keySlotDigests.count == Layout.keySlotCount)
        writer.tag(epoch)
        writer.u32(epochIndex)
        writer.u32(segmentCount)
        writer.u64(commit.sequence.rawValue)
        writer.tag(commit.tag)
        writer.u64(timeMilliseconds)
        writer.u64(anchored == nil ? 0 : 1)
        writer.u64(anchored?.sequence.rawValue ?? 0)
        writer.tag(anchored?.tag ?? .zero)
        writer.u64(recoveredFrom.sequence.rawValue)
        writer.tag(recoveredFrom.tag)
        for stream in streams {
            writer.u32(stream.position.segment)
            writer.u32(stream.position.block)
            writer.u32(stream.generation.rawValue)
            writer.u32(stream.next.segment)
            writer.u32(stream.next.generation.rawValue)
            writer.u32(0)
        }
        writer.u64(logicalBlocks)
        writer.u64(historyHorizon.rawValue)
        (previous?.pointer ?? .none).write(to: &writer)
        writer.u64(previous?.commit.rawValue ?? 0)
        for digest in keySlotDigests { writer.tag(digest) }
        for list in [mapTop, tableTop, epochPages, snapshotPages] {
            writer.u32(UInt32(list.count))
            writer.u32(0)
            for pointer in list { pointer.write(to: &writer) }
        }
        historyPolicy.write(to: &writer)
        writer.u32(sparePerMille)
        writer.u64(logBlocks)
        anchorPolicy.write(to: &writer)
        writer.u32(keyVersion)
        writer.u32(UInt32(olderKeys.count))
        writer.u64(keySince.rawValue)
        for key in olderKeys { key.write(to: &writer) }
        writer.zeros(upTo: Self.payloadBytes)
    }

    package init(
        parsingPayload payload: UnsafeRawBufferPointer, number: UInt64
    ) throws(ParseError) {
        var reader = ByteReader(payload)
        self.number = number
        epoch = try reader.tag()
        epochIndex = try reader.u32()
        segmentCount = try reader.u32()
        commit = Commit(sequence: SequenceNumber(try reader.u64()), tag: try reader.tag())
        timeMilliseconds = try reader.u64()
        let hasAnchor = try reader.u64()
        let anchor = Commit(sequence: SequenceNumber(try reader.u64()), tag: try reader.tag())
        anchored = hasAnchor == 1 ? anchor : nil
        recoveredFrom = Commit(sequence: SequenceNumber(try reader.u64()), tag: try reader.tag())
        streams = []
        for _ in StreamID.allCases {
            let segment = try reader.u32()
            let position = LogPosition(segment: segment, block: try reader.u32())
            let generation = Generation(try reader.u32())
            let next = try reader.u32()
            streams.append(
                Stream(
                    position: position, generation: generation,
                    next: SegmentReference(segment: next, generation: Generation(try reader.u32()))))
            try reader.zeros(4, field: "root")
        }
        logicalBlocks = try reader.u64()
        historyHorizon = SequenceNumber(try reader.u64())
        let pointer = try PagePointer(parsing: &reader)
        let previousCommit = SequenceNumber(try reader.u64())
        previous = pointer.exists ? Previous(pointer: pointer, commit: previousCommit) : nil
        keySlotDigests = []
        for _ in 0..<Layout.keySlotCount { keySlotDigests.append(try reader.tag()) }
        mapTop = try Self.parseList(&reader, limit: Self.maximumTop)
        tableTop = try Self.parseList(&reader, limit: Self.maximumTop)
        epochPages = try Self.parseList(&reader, limit: Epoch.maximumPages)
        snapshotPages = try Self.parseList(&reader, limit: SnapshotEntry.maximumPages)
        historyPolicy = try HistoryPolicy(parsing: &reader)
        sparePerMille = try reader.u32()
        logBlocks = try reader.u64()
        anchorPolicy = try AnchorPolicy(parsing: &reader)
        keyVersion = try reader.u32()
        let keyCount = try reader.u32()
        keySince = SequenceNumber(try reader.u64())
        guard keyCount <= SealedVolumeKey.maximumCount else {
            throw .unexpected(field: "count of volume keys", position: reader.position)
        }
        for _ in 0..<keyCount { olderKeys.append(try SealedVolumeKey(parsing: &reader)) }
        guard commit.sequence <= Layout.maximumSequence, recoveredFrom.sequence <= Layout.maximumSequence,
            logicalBlocks > 0, logicalBlocks <= Layout.maximumLogicalBlocks,
            segmentCount > 0, UInt64(segmentCount) <= Layout.maximumSegments,
            sparePerMille <= Layout.maximumSparePerMille, logBlocks <= Layout.maximumSequence.rawValue
        else { throw .unexpected(field: "geometry", position: 0) }
    }

    private static func parseList(_ reader: inout ByteReader, limit: Int) throws(ParseError) -> [PagePointer] {
        let count = Int(try reader.u32())
        try reader.zeros(4, field: "root")
        guard count <= limit else { throw .unexpected(field: "page count", position: reader.position) }
        var list: [PagePointer] = []
        for _ in 0..<count { list.append(try PagePointer(parsing: &reader)) }
        return list
    }
}
