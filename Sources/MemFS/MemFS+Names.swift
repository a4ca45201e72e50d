import Synchronization
public import VFS

extension MemFS {
    public func lookup(_ name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        let parent = try self.directory(directory)
        return try namespace.shared { () throws(VFSError) -> Entry in
            guard let slot = parent.directory.find(name) else { throw VFSError(.noSuchFileOrDirectory) }
            return entry(try inode(NodeID(rawValue: slot.node)))
        }
    }

    public func parent(of node: NodeID) throws(VFSError) -> NodeID {
        let inode = try directory(node)
        return namespace.shared { NodeID(rawValue: inode.parent) }
    }

    public func readLink(_ node: NodeID) throws(VFSError) -> [UInt8] {
        let inode = try inode(node)
        guard inode.kind == .symbolicLink else { throw VFSError(.invalidArgument) }
        inode.touchAccessTime()
        return inode.target
    }

    public func make(_ new: NewNode, named name: Name?, in directory: NodeID, by caller: Caller)
        throws(VFSError) -> Entry
    {
        let parent = try self.directory(directory)
        try validate(new, named: name)
        let (groupOfParent, parentSetsGroup, defaults) = try parent.lock.shared { () throws(VFSError) in
            (
                parent.group, parent.permissions & 0o2000 != 0,
                try parent.accessControlList(AccessControlList.defaultName)
            )
        }
        let group = parentSetsGroup ? groupOfParent : caller.group
        let inherited = Inheritance(new, under: defaults)
        var permissions = inherited.permissions
        if new.kind == .directory {
            if parentSetsGroup { permissions |= 0o2000 }
        } else if permissions & 0o2010 == 0o2010, caller.user != 0, caller.group != group,
            !caller.groups.contains(group)
        {
            // inode(7): only members of a group may make set-group-ID programs of it.
            permissions &= ~0o2000
        }
        return try namespace.exclusive { () throws(VFSError) -> Entry in
            try requireLive(parent)
            if let name, parent.directory.find(name) != nil { throw VFSError(.fileExists) }
            if new.kind == .directory { try requireRoomForLink(parent) }
            let fixed = Inode.fixedCost(new)
            guard budget.take(fixed + (name.map(entryCost) ?? 0)) else { throw VFSError(.noSpace) }
            let inode = Inode(
                number: newNumber(), new, permissions: permissions, owner: caller.user, group: group,
                links: name == nil ? 0 : new.kind == .directory ? 2 : 1, parent: parent.number,
                isUnnamed: name == nil, budget: budget)
            let lists = [
                (AccessControlList.accessName, inherited.access),
                (AccessControlList.defaultName, inherited.defaults),
            ]
            do throws(VFSError) {
                for case (let name, .some(let list)) in lists {
                    try set(name, of: inode, to: list.attribute, .create)
                }
            } catch {
                if let name { budget.give(entryCost(name)) }
                throw error
            }
            inodes.insert(inode)
            if let name {
                parent.directory.insert(name, inode.number, new.kind)
                if new.kind == .directory { parent.links.add(1, ordering: .relaxed) }
                entriesChanged(in: parent, at: inode.birthTime)
            }
            return entry(inode)
        }
    }

    private func validate(_ new: NewNode, named name: Name?) throws(VFSError) {
        if name == nil, new.kind != .regular { throw VFSError(.invalidArgument) }
        if new.kind == .symbolicLink {
            guard !new.target.isEmpty else { throw VFSError(.noSuchFileOrDirectory) }
            guard new.target.count < 4096 else { throw VFSError(.fileNameTooLong) }
            guard !new.target.contains(0) else { throw VFSError(.invalidArgument) }
        }
    }

    public func link(_ node: NodeID, as name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        let inode = try inode(node)
        let parent = try self.directory(directory)
        guard inode.kind != .directory else { throw VFSError(.notPermitted) }
        return try namespace.exclusive { () throws(VFSError) -> Entry in
            try requireLive(parent)
            if parent.directory.find(name) != nil { throw VFSError(.fileExists) }
            let links = inode.links.load(ordering: .relaxed)
            guard links > 0 || inode.isUnnamed else { throw VFSError(.noSuchFileOrDirectory) }
            try requireRoomForLink(inode)
            guard budget.take(entryCost(name)) else { throw VFSError(.noSpace) }
            let now = Timestamp.now
            inode.links.add(1, ordering: .sequentiallyConsistent)
            inode.isUnnamed = false
            parent.directory.insert(name, inode.number, inode.kind)
            inode.lock.exclusive { inode.changeTime = now }
            entriesChanged(in: parent, at: now)
            return entry(inode)
        }
    }

    public func remove(_ name: Name, in directory: NodeID, _ kind: RemovalKind) throws(VFSError) {
        let parent = try self.directory(directory)
        // Bound here so that a large file's pages are freed after the lock is gone.
        let removed = try namespace.exclusive { () throws(VFSError) -> Inode in
            guard let slot = parent.directory.find(name) else { throw VFSError(.noSuchFileOrDirectory) }
            let inode = try inode(NodeID(rawValue: slot.node))
            try requireRemovable(inode, as: kind)
            let now = Timestamp.now
            parent.directory.remove(name)
            budget.give(entryCost(name))
            unlinked(inode, from: parent, at: now)
            entriesChanged(in: parent, at: now)
            return inode
        }
        reapIfUnreferenced(removed)
    }

    // What follows is under the exclusive namespace lock.

    func entryCost(_ name: Name) -> UInt64 { MemoryBudget.entryBytes + UInt64(name.bytes.count) }

    /// - Throws: `ENOENT`: nothing can be made in a removed directory.
    func requireLive(_ directory: Inode) throws(VFSError) {
        guard directory.links.load(ordering: .relaxed) > 0 else { throw VFSError(.noSuchFileOrDirectory) }
    }

    func requireRoomForLink(_ inode: Inode) throws(VFSError) {
        guard inode.links.load(ordering: .relaxed) < UInt32.max else { throw VFSError(.tooManyLinks) }
    }

    /// - Throws: `EISDIR`, `ENOTDIR`, `ENOTEMPTY`.
    func requireRemovable(_ inode: Inode, as kind: RemovalKind) throws(VFSError) {
        switch kind {
        case .nonDirectory: guard inode.kind != .directory else { throw VFSError(.isDirectory) }
        case .directory:
            guard inode.kind == .directory else { throw VFSError(.notDirectory) }
            guard inode.directory.isEmpty else { throw VFSError(.directoryNotEmpty) }
        }
    }

    /// Takes away the link that an entry of `parent` was.
    func unlinked(_ inode: Inode, from parent: Inode, at now: Timestamp) {
        if inode.kind == .directory {
            inode.links.store(0, ordering: .sequentiallyConsistent)
            parent.links.subtract(1, ordering: .relaxed)
        } else {
            inode.links.subtract(1, ordering: .sequentiallyConsistent)
        }
        inode.lock.exclusive { inode.changeTime = now }
    }

    func entriesChanged(in directory: Inode, at now: Timestamp) {
        let size = directory.directory.listingBytes
        directory.lock.exclusive {
            directory.size = size
            directory.modificationTime = now
            directory.changeTime = now
        }
    }
}
