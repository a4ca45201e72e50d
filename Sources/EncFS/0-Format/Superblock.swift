import SecureBlock

/// What a filesystem is and where it begins: logical block 0, 4096 bytes, little-endian. Written with every commit that
/// changed it, so it is always the superblock of the committed tree.
///
///     offset  size  field
///          0     8  magic "CasemFS1"
///          8     4  version, 1
///         12     4  node size in bytes: 4096, 8192, 16384 or 32768
///         16     8  compatible features, none yet
///         24     8  features that forbid writing where unknown, none yet
///         32     8  features that forbid mounting where unknown: 1 tails, the last bytes of small files are in the tree
///         40    16  identity: random, or zero
///         56    16  key of the name hash: random, or zero
///         72     8  blocks of the filesystem
///         80     8  first block of the reserve, which only tree nodes may use
///         88     8  first block of the tree's root node
///         96     4  level of the root node
///        100     4  zero
///        104     8  next inode number
///        112     8  next name sequence
///        120     8  free blocks
///        128     8  inodes
///        136     8  commits so far
///        144     8  time of making, seconds
///        152  3944  zero
///
/// Block 1 on: the group table, 4 bytes a group (free blocks), 1024 groups a block; then one bitmap block a group
/// (bit set: in use; bit 0 of byte 0 is the group's first block). A group is 32768 blocks, 128 MiB.
struct Superblock: Equatable, Sendable {
    static let magic: UInt64 = 0x3153_466D_6573_6143
    static let version: UInt32 = 1
    static let groupBlocks: UInt64 = 32768
    static let groupsPerTableBlock: UInt64 = 1024
    /// 256 TiB: bounds what a mount keeps in memory for the group table.
    static let maximumBlocks: UInt64 = 1 << 36
    static let minimumBlocks: UInt64 = 512
    /// Of ``incompatible``: see ``packsTails``.
    static let tails: UInt64 = 1

    /// Random, so that no two filesystems are taken for one another; zero where the same files are to make the same blocks.
    struct Identity: Equatable, Sendable {
        var first: UInt64
        var second: UInt64
    }

    var nodeBytes: Int
    var compatible: UInt64 = 0
    var readOnlyCompatible: UInt64 = 0
    var incompatible: UInt64 = 0
    var identity: Identity
    var nameHash: NameHash
    var blocks: UInt64
    var reserveStart: UInt64
    var root: UInt64
    var rootLevel: Int
    var nextInode: UInt64
    var nextSequence: UInt64
    var freeBlocks: UInt64
    var inodes: UInt64
    var commits: UInt64
    var madeSeconds: Int64

    var groups: UInt64 { (blocks + Self.groupBlocks - 1) / Self.groupBlocks }
    var tableStart: UInt64 { 1 }
    var tableBlocks: UInt64 { (groups + Self.groupsPerTableBlock - 1) / Self.groupsPerTableBlock }
    var bitmapStart: UInt64 { tableStart + tableBlocks }
    /// The first block that is not at a fixed place.
    var dataStart: UInt64 { bitmapStart + groups }
    /// Whether the bytes behind a small file's last whole block may be in the tree.
    var packsTails: Bool { incompatible & Self.tails != 0 }
    /// How many bytes of a file the tree holds at most: 3 KiB in nodes of 16 KiB; 2 KiB where it holds no tails.
    var maximumInlineBytes: Int { packsTails ? nodeBytes / 16 * 3 : nodeBytes / 8 }
    var nodeBlocks: UInt64 { UInt64(nodeBytes / blockBytes) }

    /// Blocks of the reserve for a filesystem of `blocks`: 0.5 %, at least 1 MiB.
    static func reserveBlocks(_ blocks: UInt64) -> UInt64 { max(256, blocks / 200) }
}

extension Superblock {
    init(stored: UnsafeRawBufferPointer, deviceBlocks: UInt64) throws(EncFSError) {
        do throws(StoredError) {
            var reader = StoredReader(stored)
            guard try reader.integer(UInt64.self) == Self.magic else { throw .invalid("magic") }
        } catch {
            throw .notFormatted
        }
        var isNewer = false
        do throws(StoredError) {
            var reader = StoredReader(stored)
            try reader.skip(8)
            let version: UInt32 = try reader.integer()
            isNewer = version > Self.version
            guard version == Self.version else { throw .invalid("version \(version)") }
            let nodeBytes: UInt32 = try reader.integer()
            guard [4096, 8192, 16384, 32768].contains(nodeBytes) else { throw .invalid("node size \(nodeBytes)") }
            self.nodeBytes = Int(nodeBytes)
            compatible = try reader.integer()
            readOnlyCompatible = try reader.integer()
            incompatible = try reader.integer()
            identity = Identity(first: try reader.integer(), second: try reader.integer())
            nameHash = NameHash(key0: try reader.integer(), key1: try reader.integer())
            blocks = try reader.integer()
            reserveStart = try reader.integer()
            root = try reader.integer()
            rootLevel = Int(try reader.integer(UInt32.self))
            try reader.skip(4)
            nextInode = try reader.integer()
            nextSequence = try reader.integer()
            freeBlocks = try reader.integer()
            inodes = try reader.integer()
            commits = try reader.integer()
            madeSeconds = try reader.integer()
            guard blocks >= Self.minimumBlocks, blocks <= min(deviceBlocks, Self.maximumBlocks) else {
                throw .invalid("\(blocks) blocks on a device of \(deviceBlocks)")
            }
            guard dataStart < reserveStart, reserveStart < blocks, freeBlocks <= blocks else {
                throw .invalid("reserve at \(reserveStart), \(freeBlocks) free")
            }
            guard root >= dataStart, root <= blocks - nodeBlocks, rootLevel <= Node.maximumLevel else {
                throw .invalid("root node at \(root)")
            }
            guard nextInode > Self.lastReservedInode, nextInode < 1 << 63, nextSequence > 2, nextSequence < 1 << 61
            else { throw .invalid("next inode \(nextInode), sequence \(nextSequence)") }
        } catch {
            if isNewer { throw .newerVersion }
            throw .corrupt("superblock: \(error)")
        }
        guard incompatible & ~Self.tails == 0 else { throw .unknownFeatures }
    }

    static let lastReservedInode: UInt64 = 1

    var stored: [UInt8] {
        var writer = StoredWriter(capacity: blockBytes)
        writer.integer(Self.magic)
        writer.integer(Self.version)
        writer.integer(UInt32(nodeBytes))
        writer.integer(compatible)
        writer.integer(readOnlyCompatible)
        writer.integer(incompatible)
        writer.integer(identity.first)
        writer.integer(identity.second)
        writer.integer(nameHash.key0)
        writer.integer(nameHash.key1)
        writer.integer(blocks)
        writer.integer(reserveStart)
        writer.integer(root)
        writer.integer(UInt32(rootLevel))
        writer.integer(UInt32(0))
        writer.integer(nextInode)
        writer.integer(nextSequence)
        writer.integer(freeBlocks)
        writer.integer(inodes)
        writer.integer(commits)
        writer.integer(madeSeconds)
        writer.zeros(blockBytes - writer.bytes.count)
        return writer.bytes
    }
}
