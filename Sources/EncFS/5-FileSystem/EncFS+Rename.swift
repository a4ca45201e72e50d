import VFS

extension EncFS {
    public func rename(
        _ name: Name, in directory: NodeID, to newName: Name, in newDirectory: NodeID, _ flags: RenameFlags
    ) throws(VFSError) {
        let known: RenameFlags = [.noReplace, .exchange]
        guard known.isSuperset(of: flags), flags != known else { throw VFSError(.invalidArgument) }
        let now = options.clock()
        let move = Move(from: directory.rawValue, to: newDirectory.rawValue, flags: flags, now: now)
        let orphan = try change { tree throws(TreeError) in
            try rename(tree, name, newName, move)
        }
        if let orphan, let inode = table.unlinked(orphan) { delete(inode) }
    }

    private struct Move {
        let from: UInt64
        let to: UInt64
        let flags: RenameFlags
        let now: Timestamp
        var isAcross: Bool { from != to }
    }

    /// - Returns: the inode that lost its last name.
    private func rename(_ tree: Tree, _ name: Name, _ newName: Name, _ move: Move) throws(TreeError) -> UInt64? {
        _ = try tree.directory(move.from, table)
        let target = try tree.directory(move.to, table)
        guard target.linkCount > 0, let (sequence, item) = try tree.findEntry(name, in: move.from, index) else {
            throw .refused(.noSuchFileOrDirectory)
        }
        let existing = try tree.findEntry(newName, in: move.to, index)
        if item.kind == .directory, try tree.isBelow(move.to, item.inode) { throw .refused(.invalidArgument) }
        if move.flags.contains(.exchange) {
            guard let existing else { throw .refused(.noSuchFileOrDirectory) }
            if existing.item.kind == .directory, try tree.isBelow(move.from, existing.item.inode) {
                throw .refused(.invalidArgument)
            }
            try exchange(tree, (sequence, item), existing, move)
            return nil
        }
        var orphan: UInt64?
        var links = 0
        if let existing {
            if move.flags.contains(.noReplace) { throw .refused(.fileExists) }
            // Two names of one file: nothing to do (rename(2)).
            if existing.item.inode == item.inode { return nil }
            switch (item.kind == .directory, existing.item.kind == .directory) {
            case (true, false): throw .refused(.notDirectory)
            case (false, true): throw .refused(.isDirectory)
            default: break
            }
            // A directory above the one moved is not empty.
            try tree.removeEntry(existing.item, in: move.to, sequence: existing.sequence, index)
            if !FileSabotage.isOn(.renameLeavesTarget), try dropLink(tree, existing.item.inode, move.now) {
                orphan = existing.item.inode
            }
            if existing.item.kind == .directory { links -= 1 }
        }
        try tree.removeEntry(item, in: move.from, sequence: sequence, index)
        var moved = item
        moved.name = newName
        try tree.addEntry(moved, in: move.to, sequence: store.takeSequence(), index)
        try noteChange(tree, item.inode, move.now)
        if item.kind == .directory { links += 1 }
        if move.isAcross {
            try adjust(tree, move.from, entries: -1, links: item.kind == .directory ? -1 : 0, move.now)
            try adjust(tree, move.to, entries: existing == nil ? 1 : 0, links: links, move.now)
        } else {
            let sameLinks = existing?.item.kind == .directory ? -1 : 0
            try adjust(tree, move.to, entries: existing == nil ? 0 : -1, links: sameLinks, move.now)
        }
        return orphan
    }

    private func exchange(
        _ tree: Tree, _ first: (sequence: UInt64, item: DirectoryItem),
        _ second: (sequence: UInt64, item: DirectoryItem), _ move: Move
    ) throws(TreeError) {
        if first.item.inode == second.item.inode { return }
        try tree.removeEntry(first.item, in: move.from, sequence: first.sequence, index)
        try tree.removeEntry(second.item, in: move.to, sequence: second.sequence, index)
        var (there, here) = (first.item, second.item)
        swap(&there.name, &here.name)
        try tree.addEntry(there, in: move.to, sequence: store.takeSequence(), index)
        try tree.addEntry(here, in: move.from, sequence: store.takeSequence(), index)
        try noteChange(tree, there.inode, move.now)
        try noteChange(tree, here.inode, move.now)
        let gained = (there.kind == .directory ? 1 : 0) - (here.kind == .directory ? 1 : 0)
        if move.isAcross {
            try adjust(tree, move.from, entries: 0, links: -gained, move.now)
            try adjust(tree, move.to, entries: 0, links: gained, move.now)
        } else {
            try adjust(tree, move.to, entries: 0, links: 0, move.now)
        }
    }

    private func noteChange(_ tree: Tree, _ number: UInt64, _ now: Timestamp) throws(TreeError) {
        var inode = try tree.inode(number, table)
        inode.changeTime = now
        try tree.storeInode(number, inode, table)
    }

    private func adjust(
        _ tree: Tree, _ number: UInt64, entries: Int, links: Int, _ now: Timestamp
    ) throws(TreeError) {
        var inode = try tree.directory(number, table)
        let size = Int64(inode.size) + Int64(entries)
        let count = Int64(inode.linkCount) + Int64(links)
        guard size >= 0, count >= 2 else { throw .corrupt("directory \(number): counts are too low") }
        guard count <= Int64(Self.maximumLinks) else { throw .refused(.tooManyLinks) }
        inode.size = UInt64(size)
        inode.linkCount = UInt32(count)
        inode.modificationTime = now
        inode.changeTime = now
        try tree.storeInode(number, inode, table)
    }
}
