import VFS

extension EncFS {
    var index: NameIndex { NameIndex(hash: nameHash, mask: nameHashMask) }

    public func lookup(_ name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        try store.look { tree throws(TreeError) in
            _ = try tree.directory(directory.rawValue, table)
            guard let (_, item) = try tree.findEntry(name, in: directory.rawValue, index) else {
                throw .refused(.noSuchFileOrDirectory)
            }
            return try entry(item.inode, tree.inode(item.inode, table))
        }
    }

    /// An entry to hand out: counted as looked up. The last statement of an operation's body.
    func entry(_ number: UInt64, _ inode: Inode) -> Entry {
        table.addLookup(number)
        return Entry(node: NodeID(rawValue: number), attributes: inode.attributes(number))
    }

    public func parent(of node: NodeID) throws(VFSError) -> NodeID {
        guard node != root else { return root }
        return try store.look { tree throws(TreeError) in
            _ = try tree.directory(node.rawValue, table)
            guard let (parent, _) = try tree.backlink(of: node.rawValue) else {
                throw .refused(.noSuchFileOrDirectory)
            }
            return NodeID(rawValue: parent)
        }
    }

    public func forget(_ node: NodeID, count: UInt64) {
        if let inode = table.forget(node.rawValue, count: count) { delete(inode) }
    }

    public func make(
        _ new: NewNode, named name: Name?, in directory: NodeID, by caller: Caller
    ) throws(VFSError) -> Entry {
        if new.kind == .symbolicLink {
            guard !new.target.isEmpty else { throw VFSError(.noSuchFileOrDirectory) }
            guard new.target.count <= 4095 else { throw VFSError(.fileNameTooLong) }
        }
        if name == nil, new.kind != .regular { throw VFSError(.invalidArgument) }
        let now = options.clock()
        return try change { tree throws(TreeError) in
            var parent = try tree.directory(directory.rawValue, table)
            guard parent.linkCount > 0 else { throw .refused(.noSuchFileOrDirectory) }
            if let name, try tree.findEntry(name, in: directory.rawValue, index) != nil {
                throw .refused(.fileExists)
            }
            if new.kind == .directory, parent.linkCount >= Self.maximumLinks { throw .refused(.tooManyLinks) }
            let number = store.takeInodeNumber()
            let inherited = try inheritance(tree, new, directory.rawValue, parent)
            var inode = newInode(new, inherited, in: parent, by: caller, now, isNamed: name != nil)
            try store(inherited, tree, number, &inode)
            try tree.storeInode(number, inode, table)
            if new.kind == .symbolicLink { try tree.insertPieces(new.target, number, .linkTarget, from: 0) }
            if let name {
                try tree.addEntry(
                    DirectoryItem(inode: number, kind: new.kind, name: name), in: directory.rawValue,
                    sequence: store.takeSequence(), index)
                parent.size += 1
                if new.kind == .directory { parent.linkCount += 1 }
                parent.modificationTime = now
                parent.changeTime = now
                try tree.storeInode(directory.rawValue, parent, table)
            } else {
                try tree.insert(ItemKey(ItemKey.filesystem, .orphan, number), [])
                tree.afterKeep.append { [table] in table.setUnlinked(number, true) }
            }
            store.superblock.inodes += 1
            tree.afterKeep.append { [table] in table.addLookup(number) }
            return Entry(node: NodeID(rawValue: number), attributes: inode.attributes(number))
        }
    }

    /// Ownership as `inode(7)`: a set-group-ID directory passes its group on, and to directories the bit as well.
    private func newInode(
        _ new: NewNode, _ inherited: Inheritance, in parent: Inode, by caller: Caller, _ now: Timestamp,
        isNamed: Bool
    ) -> Inode {
        var permissions = inherited.permissions
        var group = caller.group
        if parent.permissions & 0o2000 != 0 {
            group = parent.group
            if new.kind == .directory {
                permissions |= 0o2000
            } else if permissions & 0o2010 == 0o2010, !caller.belongs(to: group) {
                permissions &= ~0o2000
            }
        }
        var inode = Inode(
            kind: new.kind, permissions: permissions,
            linkCount: !isNamed ? 0 : new.kind == .directory ? 2 : 1, owner: caller.user, group: group,
            accessTime: now, modificationTime: now, changeTime: now, birthTime: now)
        if !isNamed { inode.flags.insert(.madeUnnamed) }
        if new.kind == .symbolicLink { inode.size = UInt64(new.target.count) }
        if new.kind == .characterDevice || new.kind == .blockDevice { inode.device = new.device }
        return inode
    }

    public func link(_ node: NodeID, as name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        let now = options.clock()
        return try change { tree throws(TreeError) in
            let number = node.rawValue
            var inode = try tree.inode(number, table)
            guard inode.kind != .directory else { throw .refused(.notPermitted) }
            var parent = try tree.directory(directory.rawValue, table)
            guard parent.linkCount > 0 else { throw .refused(.noSuchFileOrDirectory) }
            if try tree.findEntry(name, in: directory.rawValue, index) != nil { throw .refused(.fileExists) }
            guard inode.linkCount < Self.maximumLinks else { throw .refused(.tooManyLinks) }
            if inode.linkCount == 0 {
                // Only a file made without a name may get one; one that lost its last may not (linkat(2)).
                guard inode.flags.contains(.madeUnnamed) else { throw .refused(.noSuchFileOrDirectory) }
                inode.flags.remove(.madeUnnamed)
                try tree.remove(ItemKey(ItemKey.filesystem, .orphan, number))
                tree.afterKeep.append { [table] in table.setUnlinked(number, false) }
            }
            if !FileSabotage.isOn(.dropLinkCount) { inode.linkCount += 1 }
            inode.changeTime = now
            try tree.storeInode(number, inode, table)
            try tree.addEntry(
                DirectoryItem(inode: number, kind: inode.kind, name: name), in: directory.rawValue,
                sequence: store.takeSequence(), index)
            parent.size += 1
            parent.modificationTime = now
            parent.changeTime = now
            try tree.storeInode(directory.rawValue, parent, table)
            tree.afterKeep.append { [table] in table.addLookup(number) }
            return Entry(node: node, attributes: inode.attributes(number))
        }
    }

    public func remove(_ name: Name, in directory: NodeID, _ kind: RemovalKind) throws(VFSError) {
        let now = options.clock()
        let orphan = try change(mayUseReserve: true) { tree throws(TreeError) -> UInt64? in
            var parent = try tree.directory(directory.rawValue, table)
            guard let (sequence, item) = try tree.findEntry(name, in: directory.rawValue, index) else {
                throw .refused(.noSuchFileOrDirectory)
            }
            switch (kind, item.kind) {
            case (.nonDirectory, .directory): throw .refused(.isDirectory)
            case (.directory, let other) where other != .directory: throw .refused(.notDirectory)
            default: break
            }
            try tree.removeEntry(item, in: directory.rawValue, sequence: sequence, index)
            let isOrphan = try dropLink(tree, item.inode, now)
            parent.size -= min(1, parent.size)
            if item.kind == .directory { parent.linkCount -= min(1, parent.linkCount) }
            parent.modificationTime = now
            parent.changeTime = now
            try tree.storeInode(directory.rawValue, parent, table)
            return isOrphan ? item.inode : nil
        }
        if let orphan, let inode = table.unlinked(orphan) { delete(inode) }
    }

    /// Takes one name's link from an inode; one without any becomes an orphan.
    /// - Throws: `ENOTEMPTY`.
    /// - Returns: whether it became one.
    func dropLink(_ tree: Tree, _ number: UInt64, _ now: Timestamp) throws(TreeError) -> Bool {
        var inode = try tree.inode(number, table)
        if inode.kind == .directory {
            guard inode.size == 0 else { throw .refused(.directoryNotEmpty) }
            inode.linkCount = 0
        } else {
            guard inode.linkCount > 0 else { throw .corrupt("inode \(number) has a name and link count 0") }
            inode.linkCount -= 1
        }
        inode.changeTime = now
        try tree.storeInode(number, inode, table)
        guard inode.linkCount == 0 else { return false }
        if FileSabotage.isOn(.dropOrphan) { return true }
        try tree.insert(ItemKey(ItemKey.filesystem, .orphan, number), [])
        return true
    }

    public func readLink(_ node: NodeID) throws(VFSError) -> [UInt8] {
        let target = try store.look { tree throws(TreeError) in
            let inode = try tree.inode(node.rawValue, table)
            guard inode.kind == .symbolicLink else { throw .refused(.invalidArgument) }
            guard inode.size <= 4095 else { throw .corrupt("symbolic link of \(inode.size) bytes") }
            return try tree.pieces(node.rawValue, .linkTarget, from: 0, byteCount: Int(inode.size))
        }
        noteAccess(node)
        return target
    }
}

extension Caller {
    /// Whether `chmod(2)` lets the caller keep set-group-ID on a file of `group`.
    func belongs(to group: UInt32) -> Bool { user == 0 || self.group == group || groups.contains(group) }
}
