import SecureBlock

/// What the index of a ``TPMAnchor`` holds. All numbers are little-endian:
///
///      offset  bytes  field
///           0      8  magic "CMANCHOR"
///           8      2  version, 1
///          10      6  zero
///          16     16  volume identifier
///          32      8  sequence of the commit
///          40     16  tag of the commit
///
/// There is one record and no checksum: a TPM writes it whole or not, and answers for what it gives back.
struct DiskTPMAnchor {
    static let magic: UInt64 = 0x524F_4843_4E41_4D43  // "CMANCHOR"
    static let version: UInt16 = 1
    static let byteCount = 56

    static func bytes(_ value: AnchorValue) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        bytes.withMutableRawBytes { buffer in
            var writer = ByteWriter(buffer)
            writer.u64(magic)
            writer.u16(version)
            writer.zeros(6)
            writer.volumeIdentifier(value.volume)
            writer.u64(value.sequence.rawValue)
            writer.tag(value.tag)
        }
        return bytes
    }

    static func parse(_ bytes: [UInt8]) throws(ParseError) -> AnchorValue {
        try bytes.withRawBytes { bytes throws(ParseError) in
            var reader = ByteReader(bytes)
            guard try reader.u64() == magic else { throw .unexpected(field: "magic", position: 0) }
            guard try reader.u16() == version else { throw .unexpected(field: "version", position: 8) }
            try reader.zeros(6, field: "reserved")
            let value = AnchorValue(
                volume: try reader.volumeIdentifier(), sequence: SequenceNumber(try reader.u64()),
                tag: try reader.tag())
            guard reader.remaining == 0 else { throw .unexpected(field: "length", position: byteCount) }
            return value
        }
    }
}
