import SecureBlock

/// What the index of a ``TPMAnchor`` holds: an anchor's value, and no checksum. A TPM writes it whole or not, and answers for
/// what it gives back.
struct DiskTPMAnchor {
    static let byteCount = AnchorValue.storedBytes

    static func bytes(_ value: AnchorValue) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        bytes.withMutableRawBytes { buffer in
            var writer = ByteWriter(buffer)
            value.write(to: &writer)
        }
        return bytes
    }

    static func parse(_ bytes: [UInt8]) throws(ParseError) -> AnchorValue {
        try bytes.withRawBytes { bytes throws(ParseError) in
            var reader = ByteReader(bytes)
            let value = try AnchorValue(parsing: &reader)
            guard reader.remaining == 0 else { throw .unexpected(field: "length", position: byteCount) }
            return value
        }
    }
}
