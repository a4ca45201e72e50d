/// Where the segments of one volume are. All arithmetic on stored addresses goes through here.
package struct Geometry: Hashable, Sendable {
    package var segmentBlocks: Int
    package var segmentCount: UInt32
    package var logicalBlocks: UInt64

    package init(segmentBlocks: Int, segmentCount: UInt32, logicalBlocks: UInt64) {
        self.segmentBlocks = segmentBlocks
        self.segmentCount = segmentCount
        self.logicalBlocks = logicalBlocks
    }

    package var firstSegmentBlock: UInt64 { Layout.firstSegmentBlock(segmentBlocks: segmentBlocks) }
    /// The size of the backing store, in bytes.
    package var volumeBytes: UInt64 {
        (firstSegmentBlock + UInt64(segmentCount) * UInt64(segmentBlocks)) * UInt64(blockBytes)
    }
    package var segmentBytes: Int { segmentBlocks * blockBytes }

    @inline(__always)
    package func physical(_ position: LogPosition) -> PhysicalBlock {
        PhysicalBlock(
            firstSegmentBlock + UInt64(position.segment) * UInt64(segmentBlocks) + UInt64(position.block))
    }

    /// The place in the log, `nil` for a block in no segment.
    @inline(__always)
    package func position(_ block: PhysicalBlock) -> LogPosition? {
        guard block.rawValue >= firstSegmentBlock else { return nil }
        let offset = block.rawValue - firstSegmentBlock
        let segment = offset >> UInt64(segmentBlocks.trailingZeroBitCount)
        guard segment < UInt64(segmentCount) else { return nil }
        return LogPosition(segment: UInt32(segment), block: UInt32(offset & UInt64(segmentBlocks - 1)))
    }

    package func contains(_ reference: SegmentReference) -> Bool { reference.segment < segmentCount }

    /// Blocks of a record in this geometry: header and data.
    package var recordBlocks: Int { min(RecordHeader.maximumEntries + 1, segmentBlocks) }

    /// The geometry for a device of `logicalBlocks`, with `sparePerMille` of room beyond it and what checkpoints,
    /// streams and commits need at all times (I10).
    package static func planned(logicalBlocks: UInt64, segmentBlocks: Int, sparePerMille: Int) -> Geometry? {
        guard logicalBlocks > 0, logicalBlocks <= Layout.maximumLogicalBlocks else { return nil }
        let record = UInt64(min(RecordHeader.maximumEntries + 1, segmentBlocks))
        let records = (UInt64(segmentBlocks) + record - 1) / record
        let usable = UInt64(segmentBlocks) - records
        let pages = logicalBlocks / UInt64(MapEntry.perPage) + 1
        let data = logicalBlocks + logicalBlocks / 1000 * UInt64(max(sparePerMille, 0))
        let segments = (data + usable - 1) / usable + 3 * ((pages + usable - 1) / usable) + Self.reserveSegments
        guard segments <= Layout.maximumSegments else { return nil }
        return Geometry(
            segmentBlocks: segmentBlocks, segmentCount: UInt32(segments), logicalBlocks: logicalBlocks)
    }

    /// Two segments a stream, and as many again for commits and checkpoints while space is short.
    static let reserveSegments: UInt64 = 32
}
