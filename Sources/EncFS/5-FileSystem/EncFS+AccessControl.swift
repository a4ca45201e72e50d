import VFS

/// Access control lists, kept as extended attributes, and what ties them to permission bits: `acl(5)`.
extension EncFS {
    /// Stores a list. An access list sets the permission bits; one that says no more than they do is not kept.
    /// - Throws: `EINVAL` for what is no list, `EACCES` for a default list on what is no directory.
    func setAccessControlList(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], _ mode: AttributeWriteMode
    ) throws(VFSError) {
        let list = try AccessControlList(attribute: value)
        let isAccess = name == AccessControlList.accessName
        let now = options.clock()
        try change(mayUseReserve: list == nil) { tree throws(TreeError) in
            let number = node.rawValue
            var record = try tree.inode(number, table)
            guard record.kind != .symbolicLink else { throw .refused(.notSupported) }
            guard isAccess || record.kind == .directory || list == nil else { throw .refused(.permissionDenied) }
            var isThere = false
            if record.flags.contains(.hasAttributes) { isThere = try find(tree, number, name) != nil }
            if isThere, mode == .create { throw .refused(.fileExists) }
            if !isThere, mode == .replace { throw .refused(Self.noData) }
            if isAccess, let list { record.permissions = record.permissions & 0o7000 | list.permissionBits }
            if let list, !isAccess || !list.isMinimal {
                try set(tree, number, name, list.attribute, .createOrReplace, &record)
            } else if isThere {
                _ = try drop(tree, number, name, &record)
            }
            record.changeTime = now
            try tree.storeInode(number, record, table)
        }
    }

    /// A list as it is stored.
    func accessControlList(
        _ tree: Tree, _ number: UInt64, _ record: Inode, _ name: [UInt8]
    ) throws(TreeError) -> AccessControlList? {
        guard record.flags.contains(.hasAttributes), let (attribute, item) = try find(tree, number, name) else {
            return nil
        }
        var value = item.value ?? []
        if item.value == nil {
            value = try tree.pieces(number, .attributePiece, from: attribute << 8, byteCount: item.valueBytes)
        }
        do throws(VFSError) { return try AccessControlList(attribute: value) } catch {
            throw .corrupt("access control list of inode \(number)")
        }
    }

    /// Lets a file's access list follow its permission bits.
    func permissionsChanged(_ tree: Tree, _ number: UInt64, _ record: inout Inode) throws(TreeError) {
        guard var list = try accessControlList(tree, number, record, AccessControlList.accessName) else { return }
        list.change(to: record.permissions)
        try set(tree, number, AccessControlList.accessName, list.attribute, .createOrReplace, &record)
    }

    /// What a file made in `parent` begins with.
    func inheritance(
        _ tree: Tree, _ new: NewNode, _ number: UInt64, _ parent: Inode
    ) throws(TreeError) -> Inheritance {
        Inheritance(new, under: try accessControlList(tree, number, parent, AccessControlList.defaultName))
    }

    /// Stores the lists a new file begins with; the caller stores the record.
    func store(
        _ inherited: Inheritance, _ tree: Tree, _ number: UInt64, _ record: inout Inode
    ) throws(TreeError) {
        if let list = inherited.access {
            try set(tree, number, AccessControlList.accessName, list.attribute, .create, &record)
        }
        if let list = inherited.defaults {
            try set(tree, number, AccessControlList.defaultName, list.attribute, .create, &record)
        }
    }
}
