import SecureBlock
import VFS

extension EncFS {
    public func attributes(_ node: NodeID) throws(VFSError) -> Attributes {
        try store.look { tree throws(TreeError) in
            try tree.inode(node.rawValue, table).attributes(node.rawValue)
        }
    }

    public func setAttributes(
        _ node: NodeID, _ change: AttributeChange, by caller: Caller
    ) throws(VFSError) -> Attributes {
        for time in [change.accessTime, change.modificationTime] {
            if case .exact(let exact) = time, exact.nanoseconds > 999_999_999 { throw VFSError(.invalidArgument) }
        }
        let inode = try table.use(node)
        defer { finish(inode) }
        if let size = change.size {
            try truncate(inode, to: size, clearsPrivileges: change.clearsPrivileges)
        }
        var rest = change
        rest.size = nil
        // A change of nothing still is one: `chown(2)` to nobody new sets the change time.
        guard change.size == nil || rest.changesRecord else { return try attributes(node) }
        let now = options.clock()
        return try self.change(mayUseReserve: true) { tree throws(TreeError) in
            var record = try tree.inode(node.rawValue, table)
            try apply(rest, to: &record, tree, node.rawValue, caller, now)
            try tree.storeInode(node.rawValue, record, table)
            return record.attributes(node.rawValue)
        }
    }

    private func apply(
        _ change: AttributeChange, to record: inout Inode, _ tree: Tree, _ number: UInt64, _ caller: Caller,
        _ now: Timestamp
    ) throws(TreeError) {
        if let owner = change.owner { record.owner = owner }
        if let group = change.group { record.group = group }
        // A directory's bits give nobody privileges, and stay when its owner changes (chown(2)).
        if change.clearsPrivileges, record.kind != .directory {
            record.dropPrivileges()
            try dropFileCapabilities(tree, number, &record)
        }
        if let permissions = change.permissions {
            record.permissions = permissions & 0o7777
            // Only members of the group may give a file its set-group-ID (chmod(2)).
            if record.kind != .directory || permissions & 0o2000 != 0, !caller.belongs(to: record.group) {
                record.permissions &= ~0o2000
            }
            try permissionsChanged(tree, number, &record)
        }
        switch change.accessTime {
        case .now: record.accessTime = now
        case .exact(let time): record.accessTime = time
        case nil: break
        }
        switch change.modificationTime {
        case .now: record.modificationTime = now
        case .exact(let time): record.modificationTime = time
        case nil: break
        }
        record.changeTime = now
    }

    /// What a filesystem of this size holds, and what can still be written.
    public func statistics() throws(VFSError) -> Statistics {
        store.monitor.lock()
        defer { store.monitor.unlock() }
        let superblock = store.superblock
        let free = store.space.freeBlocks + store.space.pendingBlocks
        let reserve = superblock.blocks - superblock.reserveStart
        let available = free > reserve ? free - reserve : 0
        // An inode with a name takes about a quarter of a block.
        let freeNodes = available * 4
        return Statistics(
            blockBytes: UInt32(blockBytes), totalBlocks: superblock.blocks - superblock.dataStart,
            freeBlocks: free, availableBlocks: available, totalNodes: superblock.inodes + freeNodes,
            freeNodes: freeNodes)
    }

    public func commit(_ node: NodeID?, dataOnly: Bool) throws(VFSError) -> any DurabilityTicket {
        if isReadOnly { return ImmediateTicket() }
        return try committer.order(dataOnly: dataOnly)
    }

    /// A path of `node` by its backlinks, `/` for the root; `nil` for a file without names or where metadata cannot be
    /// read. Names that are no UTF-8 are repaired for display.
    public func path(of node: NodeID) -> String? {
        do throws(VFSError) {
            return try store.look { tree throws(TreeError) in try path(tree, node.rawValue) }
        } catch {
            return nil
        }
    }

    private func path(_ tree: Tree, _ number: UInt64) throws(TreeError) -> String? {
        var names: [String] = []
        var position = number
        while position != Inode.rootNumber {
            guard let (parent, sequence) = try tree.backlink(of: position),
                let item = try tree.directoryItem(parent, sequence)
            else { return nil }
            names.append(item.name.description)
            position = parent
            // Deeper than anything real: the way up goes round.
            guard names.count < 100_000 else { return nil }
        }
        return "/" + names.reversed().joined(separator: "/")
    }
}

extension AttributeChange {
    var changesRecord: Bool {
        permissions != nil || owner != nil || group != nil || accessTime != nil || modificationTime != nil
            || clearsPrivileges
    }
}
