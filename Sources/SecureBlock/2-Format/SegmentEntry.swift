/// What the segment table says of one segment.
///
///      0  state        u8     0 never used, 1 in use or used before, 2 damaged
///      1  stream       u8     that writes or last wrote it
///      2  pins         u16    snapshots that need what is in it
///      4  generation   u32    how often it was taken into use
///      8  epoch index  u32    whose key its blocks are sealed under
///     12  live         u32    blocks that the map points to; in the stream of pages, pages of the map
///     16  last death   u64    sequence of the record that last took a live block away
///     24  last record  u64    sequence of its last record
package struct SegmentEntry: Hashable, Sendable {
    package static let byteCount = 32
    package static let perPage = blockBytes / byteCount

    package enum State: UInt8, Sendable {
        case neverUsed = 0
        case used = 1
        case damaged = 2
    }

    package var state: State = .neverUsed
    package var stream: StreamID = .user
    package var pins: UInt16 = 0
    package var generation = Generation(0)
    package var epochIndex: UInt32 = 0
    package var live: UInt32 = 0
    package var lastDeath = SequenceNumber(0)
    package var lastRecord = SequenceNumber(0)

    package init() {}

    package init(parsing reader: inout ByteReader) throws(ParseError) {
        let start = reader.position
        guard let state = State(rawValue: try reader.u8()), let stream = StreamID(rawValue: try reader.u8()) else {
            throw .unexpected(field: "segment state or stream", position: start)
        }
        self.state = state
        self.stream = stream
        pins = try reader.u16()
        guard pins <= SnapshotEntry.maximumCount else {
            throw .unexpected(field: "pins of a segment", position: start)
        }
        generation = Generation(try reader.u32())
        epochIndex = try reader.u32()
        live = try reader.u32()
        // Both a dead user's blocks, whose deaths are yet to be replayed, and its pages may be counted.
        guard live <= 2 << UInt32(Layout.segmentBlocksLog2.upperBound) else {
            throw .unexpected(field: "live blocks of a segment", position: start)
        }
        lastDeath = SequenceNumber(try reader.u64())
        lastRecord = SequenceNumber(try reader.u64())
    }

    package func write(to writer: inout ByteWriter) {
        writer.u8(state.rawValue)
        writer.u8(stream.rawValue)
        writer.u16(pins)
        writer.u32(generation.rawValue)
        writer.u32(epochIndex)
        writer.u32(live)
        writer.u64(lastDeath.rawValue)
        writer.u64(lastRecord.rawValue)
    }
}
