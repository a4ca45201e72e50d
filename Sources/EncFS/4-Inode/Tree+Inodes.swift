import VFS

extension Tree {
    /// The inode, with the times that only memory knows; `nil` if there is none.
    func inodeIfPresent(_ number: UInt64, _ table: InodeTable) throws(TreeError) -> Inode? {
        let key = ItemKey(number, .inode)
        guard let stored = try value(of: key) else { return nil }
        var inode: Inode
        do throws(StoredError) { inode = try Inode(stored: stored) } catch { throw .unparsable(key, error) }
        table.times(number)?.apply(to: &inode)
        return inode
    }

    /// - Throws: `ENOENT`.
    func inode(_ number: UInt64, _ table: InodeTable) throws(TreeError) -> Inode {
        guard let inode = try inodeIfPresent(number, table) else { throw .refused(.noSuchFileOrDirectory) }
        return inode
    }

    /// - Throws: `ENOENT`, `ENOTDIR`.
    func directory(_ number: UInt64, _ table: InodeTable) throws(TreeError) -> Inode {
        let inode = try inode(number, table)
        guard inode.kind == .directory else { throw .refused(.notDirectory) }
        return inode
    }

    /// Stores an inode that ``inode(_:_:)`` gave, so that pending times are in it.
    func storeInode(_ number: UInt64, _ inode: Inode, _ table: InodeTable) throws(TreeError) {
        try set(ItemKey(number, .inode), inode.stored)
        if let times = table.times(number) { afterKeep.append { table.timesStored(number, times) } }
    }

    // MARK: values in pieces

    func insertPieces(_ bytes: [UInt8], _ number: UInt64, _ kind: ItemKind, from offset: UInt64) throws(TreeError) {
        var piece: UInt64 = 0
        var rest = bytes[...]
        while !rest.isEmpty {
            try insert(ItemKey(number, kind, offset + piece), Array(rest.prefix(maximumValueBytes)))
            rest = rest.dropFirst(maximumValueBytes)
            piece += 1
        }
    }

    /// Joins the pieces from `offset` on; there must be as many as `byteCount` bytes need.
    func pieces(_ number: UInt64, _ kind: ItemKind, from offset: UInt64, byteCount: Int) throws(TreeError)
        -> [UInt8]
    {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount)
        var piece: UInt64 = 0
        while bytes.count < byteCount {
            let key = ItemKey(number, kind, offset + piece)
            guard let value = try value(of: key), !value.isEmpty, bytes.count + value.count <= byteCount else {
                throw .corrupt("item \(key): missing or too long")
            }
            bytes.append(contentsOf: value)
            piece += 1
        }
        return bytes
    }

    func removePieces(_ number: UInt64, _ kind: ItemKind, from offset: UInt64, byteCount: Int) throws(TreeError) {
        let count = (byteCount + maximumValueBytes - 1) / maximumValueBytes
        for piece in 0..<UInt64(count) { try remove(ItemKey(number, kind, offset + piece)) }
    }
}
