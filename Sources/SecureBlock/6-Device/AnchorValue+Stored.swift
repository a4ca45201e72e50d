/// What an anchor of any kind stores first. All numbers are little-endian:
///
///      offset  bytes  field
///           0      8  magic "CMANCHOR"
///           8      2  version, 1
///          10      6  zero
///          16     16  volume identifier
///          32      8  sequence of the commit
///          40     16  tag of the commit
extension AnchorValue {
    private static let magic: UInt64 = 0x524F_4843_4E41_4D43  // "CMANCHOR"
    package static let version: UInt16 = 1
    package static let storedBytes = 56

    package func write(to writer: inout ByteWriter) {
        writer.u64(Self.magic)
        writer.u16(Self.version)
        writer.zeros(6)
        writer.volumeIdentifier(volume)
        writer.u64(sequence.rawValue)
        writer.tag(tag)
    }

    package init(parsing reader: inout ByteReader) throws(ParseError) {
        guard try reader.u64() == Self.magic else { throw .unexpected(field: "magic", position: 0) }
        guard try reader.u16() == Self.version else { throw .unexpected(field: "version", position: 8) }
        try reader.zeros(6, field: "reserved")
        self.init(
            volume: try reader.volumeIdentifier(), sequence: SequenceNumber(try reader.u64()), tag: try reader.tag()
        )
    }
}
