/// Where a page of the map or of the segment table is and what it must hold.
///
/// It names generation and epoch itself, so that a page can be read before the segment table can, and is 32 bytes, so
/// that 128 fill a page.
///
///      0  physical block  u64    0: the page was never written and is all zeros
///      8  generation      u32
///     12  epoch index     u32
///     16  tag             16 bytes
package struct PagePointer: Hashable, Sendable {
    package static let byteCount = 32
    package static let perPage = blockBytes / byteCount
    package static let none = PagePointer(
        block: PhysicalBlock(0), generation: Generation(0), epochIndex: 0, tag: .zero)

    package var block: PhysicalBlock
    package var generation: Generation
    package var epochIndex: UInt32
    package var tag: Tag

    package init(block: PhysicalBlock, generation: Generation, epochIndex: UInt32, tag: Tag) {
        self.block = block
        self.generation = generation
        self.epochIndex = epochIndex
        self.tag = tag
    }

    package init(parsing reader: inout ByteReader) throws(ParseError) {
        block = PhysicalBlock(try reader.u64())
        generation = Generation(try reader.u32())
        epochIndex = try reader.u32()
        tag = try reader.tag()
        guard block.rawValue >> 40 == 0 else { throw .unexpected(field: "page pointer", position: reader.position) }
    }

    package func write(to writer: inout ByteWriter) {
        writer.u64(block.rawValue)
        writer.u32(generation.rawValue)
        writer.u32(epochIndex)
        writer.tag(tag)
    }

    package var exists: Bool { block.rawValue != 0 }
}
