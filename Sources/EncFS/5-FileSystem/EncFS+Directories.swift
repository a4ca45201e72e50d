import VFS

extension EncFS {
    /// Entries looked at under one hold of the tree lock.
    private static let batchEntries = 64

    public func readDirectory(
        _ node: NodeID, _ handle: Handle, after cookie: DirectoryCookie, plus: Bool,
        _ body: (DirectoryEntry) -> Bool
    ) throws(VFSError) {
        let end = handle.directoryEnd ?? .max
        var position = cookie.rawValue
        if position == 0 { noteAccess(node) }
        while true {
            let batch = try store.look { tree throws(TreeError) in
                try entries(tree, node.rawValue, after: position, before: end, plus: plus)
            }
            for (place, entry) in batch.enumerated() {
                guard body(entry) else {
                    if plus {
                        for rest in batch[place...] { forget(rest.node, count: 1) }
                    }
                    return
                }
            }
            guard batch.count == Self.batchEntries, let last = batch.last else { return }
            position = last.cookie.rawValue
        }
    }

    /// The next entries; with attributes, each counted as looked up.
    private func entries(
        _ tree: Tree, _ directory: UInt64, after: UInt64, before end: UInt64, plus: Bool
    ) throws(TreeError) -> [DirectoryEntry] {
        // One that was removed has no entries to end with (getdents(2)).
        guard try tree.directory(directory, table).linkCount > 0 else { throw .refused(.noSuchFileOrDirectory) }
        guard after < .max else { return [] }
        var found: [DirectoryEntry] = []
        var cursor = try tree.first(from: ItemKey(directory, .entry, after + 1))
        while let here = cursor, here.key.inode == directory, here.key.kind == ItemKind.entry.rawValue,
            here.key.offset < end, found.count < Self.batchEntries
        {
            let item: DirectoryItem
            do throws(StoredError) {
                item = try DirectoryItem(stored: here.value)
            } catch { throw .unparsable(here.key, error) }
            var entry = DirectoryEntry(
                name: item.name, node: NodeID(rawValue: item.inode), kind: item.kind,
                cookie: DirectoryCookie(rawValue: here.key.offset))
            if plus { entry.attributes = try tree.inode(item.inode, table).attributes(item.inode) }
            found.append(entry)
            cursor = try tree.next(here)
        }
        if plus {
            for entry in found { table.addLookup(entry.node.rawValue) }
        }
        return found
    }

    public func open(_ node: NodeID, _ flags: OpenFlags) throws(VFSError) -> Handle {
        let inode = try table.use(node)
        defer { finish(inode) }
        let kind = try store.look { tree throws(TreeError) in try tree.inode(node.rawValue, table).kind }
        if flags.contains(.directory), kind != .directory { throw VFSError(.notDirectory) }
        if kind == .directory {
            guard flags.isDisjoint(with: [.write, .truncate]) else { throw VFSError(.isDirectory) }
            store.monitor.lock()
            let end = store.superblock.nextSequence
            store.monitor.unlock()
            table.addOpen(node.rawValue)
            return Handle(directoryEnd: end)
        }
        if flags.contains(.write) || flags.contains(.truncate) {
            if isReadOnly { throw VFSError(.readOnlyFileSystem) }
            try latch.check()
        }
        if flags.contains(.truncate), kind == .regular { try truncate(inode, to: 0, clearsPrivileges: false) }
        table.addOpen(node.rawValue)
        return Handle(leavesAccessTime: flags.contains(.noAccessTime))
    }

    public func close(_ node: NodeID, _ handle: Handle) {
        guard handle != .none else { return }
        if let inode = table.dropOpen(node.rawValue) { delete(inode) }
    }

    /// Ends a use of an inode; the last one of an inode without names deletes it.
    func finish(_ inode: LiveInode) {
        if table.release(inode) { delete(inode) }
    }
}

/// An open needs no table: a directory's handle is where its scan ends, a file's says whether reads leave a trace.
extension Handle {
    private static let isFile: UInt64 = 1
    private static let isDirectory: UInt64 = 2
    private static let leavesAccessTime: UInt64 = 4

    init(directoryEnd: UInt64) { self.init(rawValue: directoryEnd << 3 | Self.isDirectory) }

    init(leavesAccessTime: Bool) {
        self.init(rawValue: Self.isFile | (leavesAccessTime ? Self.leavesAccessTime : 0))
    }

    var directoryEnd: UInt64? { rawValue & Self.isDirectory != 0 ? rawValue >> 3 : nil }
    var leavesAccessTime: Bool { rawValue & Self.leavesAccessTime != 0 && directoryEnd == nil }
}
