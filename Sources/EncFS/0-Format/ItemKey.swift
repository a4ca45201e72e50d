/// What an item of the tree is. The numbers are stored and order the items of one inode.
enum ItemKind: UInt8, CaseIterable, Sendable {
    /// The inode itself; offset 0. ``Inode``
    case inode = 1
    /// A tiny file's bytes, offset 0; or those behind a small file's last whole block, offset: where they begin.
    case inlineData = 2
    /// A piece of a symbolic link's target; offset: the piece's number.
    case linkTarget = 3
    /// A run of data blocks; offset: its first block in the file. ``Extent``
    case extent = 4
    /// A name in a directory; offset: its sequence. ``DirectoryItem``
    case entry = 5
    /// The sequences of all names of a directory with one hash; offset: the hash.
    case nameHash = 6
    /// One name of this inode; offset: the name's sequence. Value: the directory.
    case backlink = 7
    /// Name and size, and if small the value, of an extended attribute; offset: its number. ``AttributeItem``
    case attribute = 8
    /// A piece of a large extended attribute; offset: number × 256 + piece.
    case attributePiece = 9
    /// Of inode 0; offset: an inode without names that is still to be deleted.
    case orphan = 10
    /// Of inode 0; offset: an inode whose blocks from a first one on are still to be freed. Value: that block.
    case trimIntent = 11
    /// Of inode 0; offset: the first of a run of data blocks that several extents name. Value: ``SharedRun``.
    case sharedRun = 12
    /// Of inode 0; offset: an inode whose extents are still to be shifted. Value: ``ShiftIntent``.
    case shiftIntent = 13
}

/// Where an item stands in the tree: items are ordered by inode, kind, offset.
struct ItemKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    var inode: UInt64
    var kind: UInt8
    var offset: UInt64

    init(inode: UInt64, rawKind: UInt8, offset: UInt64) {
        self.inode = inode
        kind = rawKind
        self.offset = offset
    }

    init(_ inode: UInt64, _ kind: ItemKind, _ offset: UInt64 = 0) {
        self.init(inode: inode, rawKind: kind.rawValue, offset: offset)
    }

    static let lowest = ItemKey(inode: 0, rawKind: 0, offset: 0)
    /// The inode number under which the filesystem keeps its own items.
    static let filesystem: UInt64 = 0

    @inline(__always)
    static func < (left: ItemKey, right: ItemKey) -> Bool {
        if left.inode != right.inode { return left.inode < right.inode }
        if left.kind != right.kind { return left.kind < right.kind }
        return left.offset < right.offset
    }

    var description: String {
        let name = ItemKind(rawValue: kind).map { "\($0)" } ?? "kind \(kind)"
        return "(inode \(inode), \(name), \(offset))"
    }
}
