/// One named snapshot in the list that a root points to: a root's copy in the log that stays.
///
///      0  commit       u64      whose state it is
///      8  time         u64      of that commit, milliseconds since the epoch
///     16  root copy    32 bytes page pointer to the copy, in the log, of the root of that commit
///     48  name length  u16      1 to 64 bytes; 0 after the last entry
///     50  zero         14 bytes
///     64  name         64 bytes UTF-8, padded with zeros
package struct SnapshotEntry: Hashable, Sendable {
    package static let byteCount = 128
    package static let perPage = blockBytes / byteCount
    package static let maximumPages = 4
    package static let maximumCount = maximumPages * perPage

    package var commit: SequenceNumber
    package var timeMilliseconds: UInt64
    package var rootCopy: PagePointer
    package var name: SnapshotName

    package init(commit: SequenceNumber, timeMilliseconds: UInt64, rootCopy: PagePointer, name: SnapshotName) {
        self.commit = commit
        self.timeMilliseconds = timeMilliseconds
        self.rootCopy = rootCopy
        self.name = name
    }

    /// - Returns: `nil` behind the last entry.
    package init?(parsing reader: inout ByteReader) throws(ParseError) {
        let start = reader.position
        commit = SequenceNumber(try reader.u64())
        timeMilliseconds = try reader.u64()
        rootCopy = try PagePointer(parsing: &reader)
        let length = Int(try reader.u16())
        try reader.zeros(14, field: "snapshot")
        guard length > 0 else {
            try reader.zeros(SnapshotName.maximumBytes, field: "snapshot name")
            return nil
        }
        guard length <= SnapshotName.maximumBytes, rootCopy.exists, commit <= Layout.maximumSequence else {
            throw .unexpected(field: "snapshot", position: start)
        }
        let bytes = Array(try reader.bytes(length))
        try reader.zeros(SnapshotName.maximumBytes - length, field: "snapshot name")
        guard let text = String(validating: bytes, as: UTF8.self), let name = SnapshotName(text) else {
            throw .unexpected(field: "snapshot name", position: start)
        }
        self.name = name
    }

    package func write(to writer: inout ByteWriter) {
        let start = writer.position
        writer.u64(commit.rawValue)
        writer.u64(timeMilliseconds)
        rootCopy.write(to: &writer)
        writer.u16(UInt16(name.text.utf8.count))
        writer.zeros(upTo: start + 64)
        for byte in name.text.utf8 { writer.u8(byte) }
        writer.zeros(upTo: start + Self.byteCount)
    }

    /// The list as pages to store.
    package static func serialised(_ list: [SnapshotEntry]) -> [AlignedBuffer] {
        precondition(list.count <= maximumCount)
        return stride(from: 0, to: list.count, by: perPage).map { start in
            let buffer = AlignedBuffer(byteCount: blockBytes)
            var writer = ByteWriter(buffer.bytes)
            for entry in list[start..<min(start + perPage, list.count)] { entry.write(to: &writer) }
            return buffer
        }
    }

    /// The list that pages hold: no name and no more entries than ``maximumCount`` come twice.
    package static func parse(_ pages: [AlignedBuffer]) throws(ParseError) -> [SnapshotEntry] {
        var list: [SnapshotEntry] = []
        var names: Set<SnapshotName> = []
        for page in pages {
            var reader = ByteReader(UnsafeRawBufferPointer(page.bytes))
            for _ in 0..<perPage {
                guard let entry = try SnapshotEntry(parsing: &reader) else { continue }
                guard names.insert(entry.name).inserted else {
                    throw .unexpected(field: "snapshot name", position: reader.position)
                }
                list.append(entry)
            }
        }
        return list
    }
}

/// What a snapshot is called: 1 to 64 bytes of UTF-8 that a terminal shows as they are and that name no path.
public struct SnapshotName: Hashable, Sendable, CustomStringConvertible {
    public static let maximumBytes = 64
    public let text: String

    /// - Returns: `nil` for a name that is empty, too long, starts with a dot or a hyphen, or has a slash or a control
    ///   character in it.
    public init?(_ text: String) {
        guard (1...Self.maximumBytes).contains(text.utf8.count), text.first != ".", text.first != "-",
            text.unicodeScalars.allSatisfy({
                $0 != "/"
                    && ![.control, .format, .lineSeparator, .paragraphSeparator].contains(
                        $0.properties.generalCategory)
            })
        else { return nil }
        self.text = text
    }

    public var description: String { text }

    // Equal by bytes: two spellings that Unicode calls equivalent are two names, as in a directory.
    public static func == (left: Self, right: Self) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }
    public func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }
}
