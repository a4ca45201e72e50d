import VFS

extension EncFS {
    static let capabilityName = Array("security.capability".utf8)
    /// `ENODATA`.
    static let noData = Errno(rawValue: 61)
    /// `E2BIG`.
    static let tooBig = Errno(rawValue: 7)
    /// `ERANGE`.
    static let outOfRange = Errno(rawValue: 34)

    public func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) -> [UInt8] {
        try Self.check(name)
        return try store.look { tree throws(TreeError) in
            let record = try tree.inode(node.rawValue, table)
            // The flag answers the lookups that come with every write without a look at any item.
            guard record.flags.contains(.hasAttributes),
                let (number, item) = try find(tree, node.rawValue, name)
            else { throw .refused(Self.noData) }
            if let value = item.value { return value }
            return try tree.pieces(
                node.rawValue, .attributePiece, from: number << 8, byteCount: item.valueBytes)
        }
    }

    public func extendedAttributeNames(of node: NodeID) throws(VFSError) -> [[UInt8]] {
        try store.look { tree throws(TreeError) in
            guard try tree.inode(node.rawValue, table).flags.contains(.hasAttributes) else { return [] }
            var names: [[UInt8]] = []
            try forEach(tree, node.rawValue) { _, item in
                names.append(item.name)
                return true
            }
            return names
        }
    }

    public func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], _ mode: AttributeWriteMode
    ) throws(VFSError) {
        try Self.check(name)
        guard value.count <= AttributeItem.maximumValueBytes else { throw VFSError(Self.tooBig) }
        if AccessControlList.isName(name) { return try setAccessControlList(name, of: node, to: value, mode) }
        let now = options.clock()
        try change { tree throws(TreeError) in
            var record = try tree.inode(node.rawValue, table)
            try Self.check(name, on: record.kind)
            try set(tree, node.rawValue, name, value, mode, &record)
            record.changeTime = now
            try tree.storeInode(node.rawValue, record, table)
        }
    }

    /// Stores an attribute; the caller stores the record.
    func set(
        _ tree: Tree, _ inode: UInt64, _ name: [UInt8], _ value: [UInt8], _ mode: AttributeWriteMode,
        _ record: inout Inode
    ) throws(TreeError) {
        var next: UInt64 = 1
        var nameBytes = 0
        try forEach(tree, inode) { number, item in
            next = number + 1
            nameBytes += item.name.count + 1
            return true
        }
        if let (number, item) = try find(tree, inode, name) {
            guard mode != .create else { throw .refused(.fileExists) }
            try remove(tree, inode, number, item)
        } else {
            guard mode != .replace else { throw .refused(Self.noData) }
            guard nameBytes + name.count < 65536 else { throw .refused(.noSpace) }
        }
        let isHere = AttributeItem.headerBytes(name: name) + value.count <= tree.maximumValueBytes
        let item = AttributeItem(name: name, valueBytes: value.count, value: isHere ? value : nil)
        try tree.insert(ItemKey(inode, .attribute, next), item.stored)
        if !isHere { try tree.insertPieces(value, inode, .attributePiece, from: next << 8) }
        record.flags.insert(.hasAttributes)
    }

    public func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) {
        try Self.check(name)
        let now = options.clock()
        try change(mayUseReserve: true) { tree throws(TreeError) in
            var record = try tree.inode(node.rawValue, table)
            try Self.check(name, on: record.kind)
            let isThere = try drop(tree, node.rawValue, name, &record)
            // acl(5) has no error for taking away a list that is not there.
            guard isThere || AccessControlList.isName(name) else { throw .refused(Self.noData) }
            if !isThere { return }
            record.changeTime = now
            try tree.storeInode(node.rawValue, record, table)
        }
    }

    /// An unprivileged change of a file's bytes or owner takes its capabilities away (capabilities(7)).
    func dropFileCapabilities(_ tree: Tree, _ number: UInt64, _ record: inout Inode) throws(TreeError) {
        if record.flags.contains(.hasAttributes) {
            _ = try drop(tree, number, Self.capabilityName, &record)
        }
    }

    /// - Returns: whether there was such an attribute. The caller stores the record.
    func drop(
        _ tree: Tree, _ inode: UInt64, _ name: [UInt8], _ record: inout Inode
    ) throws(TreeError) -> Bool {
        guard let (number, item) = try find(tree, inode, name) else { return false }
        try remove(tree, inode, number, item)
        var isEmpty = true
        try forEach(tree, inode) { _, _ in
            isEmpty = false
            return false
        }
        if isEmpty { record.flags.remove(.hasAttributes) }
        return true
    }

    private func remove(_ tree: Tree, _ inode: UInt64, _ number: UInt64, _ item: AttributeItem) throws(TreeError) {
        try tree.remove(ItemKey(inode, .attribute, number))
        if item.value == nil {
            try tree.removePieces(inode, .attributePiece, from: number << 8, byteCount: item.valueBytes)
        }
    }

    func find(
        _ tree: Tree, _ inode: UInt64, _ name: [UInt8]
    ) throws(TreeError) -> (number: UInt64, item: AttributeItem)? {
        var found: (UInt64, AttributeItem)?
        try forEach(tree, inode) { number, item in
            guard item.name == name else { return true }
            found = (number, item)
            return false
        }
        return found
    }

    private func forEach(
        _ tree: Tree, _ inode: UInt64, _ body: (UInt64, AttributeItem) -> Bool
    ) throws(TreeError) {
        var cursor = try tree.first(from: ItemKey(inode, .attribute))
        while let here = cursor, here.key.inode == inode, here.key.kind == ItemKind.attribute.rawValue {
            let item: AttributeItem
            do throws(StoredError) {
                item = try AttributeItem(stored: here.value)
            } catch { throw .unparsable(here.key, error) }
            guard here.key.offset < 1 << 40 else { throw .corrupt("item \(here.key): number is too large") }
            guard body(here.key.offset, item) else { return }
            cursor = try tree.next(here)
        }
    }

    /// Namespaces of `xattr(7)`; of `system.` the access control lists alone.
    private static func check(_ name: [UInt8]) throws(VFSError) {
        guard (1...255).contains(name.count) else { throw VFSError(outOfRange) }
        if AccessControlList.isName(name) { return }
        let spaces = ["user.", "security.", "trusted."]
        guard let space = spaces.first(where: { name.starts(with: $0.utf8) }) else { throw VFSError(.notSupported) }
        guard name.count > space.utf8.count else { throw VFSError(.invalidArgument) }
    }

    /// `user.` belongs to files and directories only; symbolic links have no permissions to list.
    private static func check(_ name: [UInt8], on kind: NodeKind) throws(TreeError) {
        if AccessControlList.isName(name), kind == .symbolicLink { throw .refused(.notSupported) }
        if name.starts(with: "user.".utf8), kind != .regular, kind != .directory { throw .refused(.notPermitted) }
    }
}
