import VFS

/// An inode as stored in the tree: 112 bytes, little-endian.
///
///     offset  size  field
///          0     2  mode: kind in bits 12 to 15, permissions below
///          2     2  flags: 1 has extended attributes, 2 made without a name (may be linked from link count 0),
///                   4 has inline data
///          4     4  link count
///          8     4  owner
///         12     4  group
///         16     8  size in bytes; of a directory: its number of entries
///         24     8  allocated data blocks
///         32     8  device number of a device node
///         40     8  access time, seconds
///         48     8  modification time, seconds
///         56     8  change time, seconds
///         64     8  birth time, seconds
///         72     4  access time, nanoseconds
///         76     4  modification time, nanoseconds
///         80     4  change time, nanoseconds
///         84     4  birth time, nanoseconds
///         88    24  zero
struct Inode: Equatable, Sendable {
    static let storedBytes = 112
    static let rootNumber: UInt64 = 1
    /// The largest file size in bytes, as Linux's `MAX_LFS_FILESIZE`.
    static let maximumBytes = UInt64(Int64.max)

    struct Flags: OptionSet, Sendable {
        let rawValue: UInt16
        static let hasAttributes = Flags(rawValue: 1)
        static let madeUnnamed = Flags(rawValue: 2)
        static let hasInlineData = Flags(rawValue: 4)
        static let all: Flags = [.hasAttributes, .madeUnnamed, .hasInlineData]
    }

    var kind: NodeKind
    var permissions: UInt16
    var flags: Flags = []
    var linkCount: UInt32
    var owner: UInt32
    var group: UInt32
    var size: UInt64 = 0
    var blocks: UInt64 = 0
    var device: UInt64 = 0
    var accessTime: Timestamp
    var modificationTime: Timestamp
    var changeTime: Timestamp
    var birthTime: Timestamp
}

extension Inode {
    init(stored: UnsafeRawBufferPointer) throws(StoredError) {
        guard stored.count == Self.storedBytes else { throw .invalid("inode of \(stored.count) bytes") }
        var reader = StoredReader(stored)
        let mode: UInt16 = try reader.integer()
        guard let kind = NodeKind(mode: UInt32(mode)) else { throw .invalid("inode mode \(mode)") }
        self.kind = kind
        permissions = mode & 0o7777
        flags = Flags(rawValue: try reader.integer())
        guard Flags.all.isSuperset(of: flags) else { throw .invalid("inode flags \(flags.rawValue)") }
        linkCount = try reader.integer()
        owner = try reader.integer()
        group = try reader.integer()
        size = try reader.integer()
        guard size <= Self.maximumBytes else { throw .invalid("inode size \(size)") }
        blocks = try reader.integer()
        guard blocks <= Self.maximumBytes / 4096 + 1 else { throw .invalid("inode of \(blocks) blocks") }
        // A directory's size counts entries, which have numbers of 61 bits, and tells 32 bytes for each.
        guard kind != .directory || size < 1 << 58 else { throw .invalid("directory of \(size) entries") }
        device = try reader.integer()
        let seconds: (Int64, Int64, Int64, Int64) = (
            try reader.integer(), try reader.integer(), try reader.integer(), try reader.integer()
        )
        let nanoseconds: (UInt32, UInt32, UInt32, UInt32) = (
            try reader.integer(), try reader.integer(), try reader.integer(), try reader.integer()
        )
        accessTime = Timestamp(seconds: seconds.0, nanoseconds: nanoseconds.0)
        modificationTime = Timestamp(seconds: seconds.1, nanoseconds: nanoseconds.1)
        changeTime = Timestamp(seconds: seconds.2, nanoseconds: nanoseconds.2)
        birthTime = Timestamp(seconds: seconds.3, nanoseconds: nanoseconds.3)
        for part in [nanoseconds.0, nanoseconds.1, nanoseconds.2, nanoseconds.3] where part > 999_999_999 {
            throw .invalid("inode time with \(part) ns")
        }
    }

    var stored: [UInt8] {
        var writer = StoredWriter(capacity: Self.storedBytes)
        writer.integer(UInt16(truncatingIfNeeded: kind.modeBits) | (permissions & 0o7777))
        writer.integer(flags.rawValue)
        writer.integer(linkCount)
        writer.integer(owner)
        writer.integer(group)
        writer.integer(size)
        writer.integer(blocks)
        writer.integer(device)
        for time in [accessTime, modificationTime, changeTime, birthTime] { writer.integer(time.seconds) }
        for time in [accessTime, modificationTime, changeTime, birthTime] { writer.integer(time.nanoseconds) }
        writer.zeros(24)
        return writer.bytes
    }

    func attributes(_ number: UInt64, preferredBytes: UInt32 = 4096) -> Attributes {
        // Programs take a file without blocks for one hole: tar would leave inline bytes out.
        let inBlock = blocks == 0 ? min(size, EncFS.blockSize) : size % EncFS.blockSize
        let inline = flags.contains(.hasInlineData) ? (inBlock + 511) / 512 : 0
        var attributes = Attributes(
            node: NodeID(rawValue: number), kind: kind, permissions: permissions, linkCount: linkCount,
            owner: owner, group: group, size: kind == .directory ? size * 32 : size, blocks512: blocks * 8 + inline,
            device: device, accessTime: accessTime, modificationTime: modificationTime, changeTime: changeTime,
            birthTime: birthTime, preferredBytes: preferredBytes)
        attributes.mayHaveAccessControlList = flags.contains(.hasAttributes)
        return attributes
    }

    /// What an unprivileged write, truncate or chown takes away (`inode(7)`): set-user-ID, and set-group-ID where the
    /// group may execute. File capabilities go separately.
    mutating func dropPrivileges() {
        permissions &= ~0o4000
        if permissions & 0o010 != 0 { permissions &= ~0o2000 }
    }
}
