/// Where things are on a volume, in blocks of ``blockBytes``. The source of these numbers is this file.
///
///     block    0          superblock            (copy 0)
///             16          superblock            (copy 1)
///             32, 48 …144 key slots 0 … 7       (64 KiB apart, so that one bad erase block costs one slot)
///            160          root slot A
///            176          root slot B
///            192 or more  segment 0, aligned to a segment
package enum Layout {
    package static let superblocks: [UInt64] = [0, 16]
    package static let keySlotCount = 8
    package static let rootSlots: [UInt64] = [160, 176]
    package static let firstFreeBlock: UInt64 = 192

    package static func keySlot(_ index: Int) -> UInt64 { 32 + 16 * UInt64(index) }

    /// First block of segment 0.
    package static func firstSegmentBlock(segmentBlocks: Int) -> UInt64 {
        let size = UInt64(segmentBlocks)
        return (firstFreeBlock + size - 1) / size * size
    }

    /// Segment sizes that a volume may have: 64 KiB to 64 MiB.
    package static let segmentBlocksLog2: ClosedRange<UInt8> = 4...14
    /// The largest volume: physical blocks are stored in 40 bits, and the map's height stays bounded.
    package static let maximumLogicalBlocks: UInt64 = 1 << 38
    /// No volume lives long enough for more records; keeps sums of sequences from overflowing.
    package static let maximumSequence = SequenceNumber(1 << 62)
    package static let maximumSegments: UInt64 = 1 << 28
    package static let maximumSparePerMille: UInt32 = 10_000
}

/// The log's independent append positions. Raw values are stored.
package enum StreamID: UInt8, Sendable, CaseIterable {
    /// What the client writes, its discards and commits.
    case user = 0
    /// What the cleaner moves.
    case clean = 1
    /// Pages of the map, of the segment table, of the epoch table and of the snapshot list, and roots.
    case meta = 2
}

/// What a block in a record is. Raw values are stored.
package enum BlockKind: UInt8, Sendable {
    /// A relocation that lost its race: the block, sealed as ``data``, counts for nothing.
    case null = 0
    case data = 1
    /// A block moved by the cleaner; its data is sealed as ``data``.
    case relocation = 2
    case mapPage = 3
    case tablePage = 4
    case epochPage = 5
    /// A copy of a root, so that earlier roots can be reached from later ones.
    case root = 6
    /// A range of logical blocks that is forgotten; no block goes with it.
    case discard = 7
    /// A range of logical blocks whose contents are lost: they read as errors; no block goes with it.
    case lost = 8
    case snapshotPage = 9

    /// The kind that is part of the block's associated data.
    package var sealedKind: BlockKind { self == .relocation || self == .null ? .data : self }
    package var hasBlock: Bool { self != .discard && self != .lost }
}

/// Nonce domains: what of one physical block and generation is sealed. Raw values are part of every nonce.
package enum SealDomain {
    package static let block: UInt8 = 0
    package static let header: UInt8 = 1
    package static let root: UInt8 = 2
}
