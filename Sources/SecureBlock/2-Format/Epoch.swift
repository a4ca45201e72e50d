/// One mount epoch: 128 random bits drawn at every open for writing, from which the epoch's data key comes.
///
/// In the epoch table an epoch is 24 bytes; its index is its place there, and an all-zero identifier is a free place.
///
///      0  identifier          16 bytes
///     16  volume key version  u32      which volume key the epoch's key comes from; 0 is the first
///     20  zero                u32
package struct Epoch: Hashable, Sendable {
    package static let byteCount = 24
    package static let perPage = blockBytes / byteCount
    package static let maximumPages = 32
    package static let maximumCount = maximumPages * perPage

    package var identifier: Tag
    package var keyVersion: UInt32

    package init(identifier: Tag, keyVersion: UInt32 = 0) {
        self.identifier = identifier
        self.keyVersion = keyVersion
    }

    package init(parsing reader: inout ByteReader) throws(ParseError) {
        identifier = try reader.tag()
        keyVersion = try reader.u32()
        try reader.zeros(4, field: "epoch")
    }

    package func write(to writer: inout ByteWriter) {
        writer.tag(identifier)
        writer.u32(keyVersion)
        writer.u32(0)
    }

    package var isFree: Bool { identifier == .zero }
    package static let free = Epoch(identifier: .zero)
}
