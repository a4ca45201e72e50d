import SecureBlock
import VFS

/// A name in a directory. Its key's offset is its sequence, unique in the filesystem and the `readdir` cookie.
///
///     offset  size  field
///          0     8  inode
///          8     1  kind, as `d_type`
///          9     1  length of the name, 1 to 255
///         10     n  name
struct DirectoryItem: Equatable, Sendable {
    var inode: UInt64
    var kind: NodeKind
    var name: Name

    init(inode: UInt64, kind: NodeKind, name: Name) {
        self.inode = inode
        self.kind = kind
        self.name = name
    }

    init(stored: UnsafeRawBufferPointer) throws(StoredError) {
        var reader = StoredReader(stored)
        inode = try reader.integer()
        let rawKind: UInt8 = try reader.integer()
        let length: UInt8 = try reader.integer()
        let bytes = try reader.array(count: Int(length))
        guard let kind = NodeKind(rawValue: rawKind), reader.remaining == 0, inode != 0 else {
            throw .invalid("directory entry of kind \(rawKind)")
        }
        self.kind = kind
        do throws(VFSError) { name = try Name(bytes) } catch { throw .invalid("name in a directory entry") }
    }

    var stored: [UInt8] {
        var writer = StoredWriter(capacity: 10 + name.bytes.count)
        writer.integer(inode)
        writer.integer(kind.rawValue)
        writer.integer(UInt8(name.bytes.count))
        writer.array(name.bytes)
        return writer.bytes
    }
}

/// An extended attribute. A value that fits stays here; a larger one is in pieces.
///
///     offset  size  field
///          0     4  length of the value, 0 to 65536
///          4     1  1: the value follows the name; 0: it is in pieces
///          5     1  length of the name, 1 to 255
///          6     n  name
///        6+n     m  value
struct AttributeItem: Equatable, Sendable {
    static let maximumValueBytes = 65536

    var name: [UInt8]
    var valueBytes: Int
    /// The value, where it is stored here.
    var value: [UInt8]?

    static func headerBytes(name: [UInt8]) -> Int { 6 + name.count }

    init(name: [UInt8], valueBytes: Int, value: [UInt8]?) {
        self.name = name
        self.valueBytes = valueBytes
        self.value = value
    }

    init(stored: UnsafeRawBufferPointer) throws(StoredError) {
        var reader = StoredReader(stored)
        let length: UInt32 = try reader.integer()
        let isHere: UInt8 = try reader.integer()
        let nameLength: UInt8 = try reader.integer()
        guard length <= Self.maximumValueBytes, isHere <= 1, nameLength > 0 else {
            throw .invalid("extended attribute of \(length) bytes")
        }
        valueBytes = Int(length)
        name = try reader.array(count: Int(nameLength))
        value = isHere == 1 ? try reader.array(count: valueBytes) : nil
        guard reader.remaining == 0 else { throw .invalid("extended attribute with a tail") }
    }

    var stored: [UInt8] {
        var writer = StoredWriter(capacity: Self.headerBytes(name: name) + (value?.count ?? 0))
        writer.integer(UInt32(valueBytes))
        writer.integer(UInt8(value == nil ? 0 : 1))
        writer.integer(UInt8(name.count))
        writer.array(name)
        if let value { writer.array(value) }
        return writer.bytes
    }
}

/// Lists of 64-bit numbers as stored: the sequences under a name's hash, the directory of a backlink, the first block
/// of a trim intent.
enum StoredNumbers {
    static func decode(_ stored: UnsafeRawBufferPointer) throws(StoredError) -> [UInt64] {
        guard stored.count % 8 == 0, stored.count > 0 else { throw .invalid("list of \(stored.count) bytes") }
        var reader = StoredReader(stored)
        var values: [UInt64] = []
        values.reserveCapacity(stored.count / 8)
        while reader.remaining > 0 { values.append(try reader.integer()) }
        return values
    }

    static func encode(_ values: [UInt64]) -> [UInt8] {
        var writer = StoredWriter(capacity: values.count * 8)
        for value in values { writer.integer(value) }
        return writer.bytes
    }
}
