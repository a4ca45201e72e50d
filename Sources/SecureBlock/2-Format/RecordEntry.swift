/// What one block of a record is, and the tag that verifies it: 24 bytes of the encrypted part of a header.
///
///      0  kind     u8
///      1  level    u8        of a map or table page
///      2  address  u48       logical block, page number, or commit of a root
///      8  tag      16 bytes  of the sealed block; for a discard or a loss: count of blocks u64, zero u64
package struct RecordEntry: Hashable, Sendable {
    package static let byteCount = 24

    package var association: BlockAssociation
    package var tag: Tag

    package var kind: BlockKind { association.kind }
    package var address: UInt64 { association.address }
    /// How many blocks a discard or a loss covers.
    package var discardCount: UInt64 { tag.low }

    package init(_ association: BlockAssociation, tag: Tag) {
        self.association = association
        self.tag = tag
    }

    package static func discard(_ first: LogicalBlock, count: UInt64) -> RecordEntry {
        RecordEntry(BlockAssociation(.discard, address: first.rawValue), tag: Tag(low: count, high: 0))
    }

    package static func lost(_ first: LogicalBlock, count: UInt64) -> RecordEntry {
        RecordEntry(BlockAssociation(.lost, address: first.rawValue), tag: Tag(low: count, high: 0))
    }

    package init(parsing reader: inout ByteReader) throws(ParseError) {
        let start = reader.position
        guard let kind = BlockKind(rawValue: try reader.u8()) else {
            throw .unexpected(field: "block kind", position: start)
        }
        let level = try reader.u8()
        let low = try reader.u16()
        let high = try reader.u32()
        association = BlockAssociation(kind, level: level, address: UInt64(low) | UInt64(high) << 16)
        tag = try reader.tag()
    }

    package func write(to writer: inout ByteWriter) {
        writer.u8(kind.rawValue)
        writer.u8(association.level)
        writer.u16(UInt16(truncatingIfNeeded: address))
        writer.u32(UInt32(truncatingIfNeeded: address >> 16))
        writer.tag(tag)
    }
}
