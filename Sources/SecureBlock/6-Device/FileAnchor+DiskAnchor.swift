/// The stored form of a ``FileAnchor``: two records of 512 bytes at offsets 0 and 4096. All numbers are little-endian:
///
///      offset  bytes  field
///           0     56  value (``AnchorValue/write(to:)``)
///          56      8  update number, from 1; odd in the first record, even in the second
///          64    416  zero
///         480     32  SHA-256 of bytes 0…479
///
/// The higher update number is the newest. The checksum finds torn writes and decay, not forgery: the storage is trusted
/// to the extent that an anchor is.
struct DiskAnchor {
    static let recordBytes = 512
    static let recordOffsets = [0, blockBytes]
    static let fileBytes = 2 * blockBytes

    struct Record {
        let value: AnchorValue
        let update: UInt64
    }

    /// The newest sound record; `nil` when there never was one.
    let newest: Record?

    /// - Parameter bytes: up to ``fileBytes`` from the start of the file.
    /// - Throws: ``AnchorError/damaged(_:)`` when something is stored and no record is sound,
    ///   ``AnchorError/unavailable(_:)`` when the crypto library cannot tell.
    init(_ bytes: [UInt8]) throws(AnchorError) {
        var newest: Record?
        var found = "neither record is sound"
        for (index, offset) in Self.recordOffsets.enumerated() where bytes.count >= offset + Self.recordBytes {
            let stored = Array(bytes[offset..<offset + Self.recordBytes])
            let sum = try Self.digest(stored)
            do throws(ParseError) {
                let record = try Self.parse(stored, sum, index)
                if record.update > newest?.update ?? 0 { newest = record }
            } catch {
                if case .unexpected("version", _) = error { found = "a version newer than \(AnchorValue.version)" }
            }
        }
        if newest == nil, bytes.contains(where: { $0 != 0 }) { throw .damaged(found) }
        self.newest = newest
    }

    /// The record that stores `value` next, and where.
    func next(_ value: AnchorValue) throws(AnchorError) -> (bytes: [UInt8], offset: Int) {
        let (update, overflow) = (newest?.update ?? 0).addingReportingOverflow(1)
        guard !overflow else { throw .damaged("update numbers are used up") }
        let bytes = try Self.bytes(Record(value: value, update: update))
        return (bytes, Self.recordOffsets[Self.index(update)])
    }

    /// Which record holds an update.
    private static func index(_ update: UInt64) -> Int { update % 2 == 1 ? 0 : 1 }

    private static func bytes(_ record: Record) throws(AnchorError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: recordBytes)
        bytes.withMutableRawBytes { buffer in
            var writer = ByteWriter(buffer)
            record.value.write(to: &writer)
            writer.u64(record.update)
        }
        bytes.replaceSubrange((recordBytes - Digest.byteCount)..., with: try digest(bytes))
        return bytes
    }

    private static func parse(_ bytes: [UInt8], _ expected: [UInt8], _ index: Int) throws(ParseError) -> Record {
        guard
            bytes[(recordBytes - Digest.byteCount)...].elementsEqual(expected)
                || Sabotage.isOn(.anchorChecksumUnchecked)
        else {
            throw .unexpected(field: "checksum", position: 480)
        }
        return try bytes.withRawBytes { bytes throws(ParseError) in
            var reader = ByteReader(bytes)
            let value = try AnchorValue(parsing: &reader)
            let update = try reader.u64()
            guard update > 0, self.index(update) == index else { throw .unexpected(field: "update", position: 56) }
            return Record(value: value, update: update)
        }
    }

    private static func digest(_ bytes: [UInt8]) throws(AnchorError) -> [UInt8] {
        do throws(SealError) {
            return try Digest.sha256([UInt8](bytes[..<(recordBytes - Digest.byteCount)]))
        } catch {
            throw .unavailable("SHA-256")
        }
    }
}
