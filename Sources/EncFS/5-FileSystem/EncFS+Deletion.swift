import VFS

extension EncFS {
    /// Items one operation of a deletion removes.
    private static let operationItems = 64

    /// Deletes an inode nobody can reach any more. What fails leaves an orphan for the next mount.
    func delete(_ inode: LiveInode) {
        do throws(VFSError) {
            try deleteOrphan(inode.number)
        } catch {
            if error.errno != .readOnlyFileSystem {
                options.reportFault("inode \(inode.number) is deleted at the next mount: \(error)")
            }
        }
        table.deleted(inode)
    }

    private func deleteOrphan(_ number: UInt64) throws(VFSError) {
        while try !change(mayUseReserve: true, { tree throws(TreeError) in try deleteStep(tree, number) }) {}
    }

    /// - Returns: whether nothing is left.
    private func deleteStep(_ tree: Tree, _ number: UInt64) throws(TreeError) -> Bool {
        let orphan = ItemKey(ItemKey.filesystem, .orphan, number)
        guard var record = try tree.inodeIfPresent(number, table) else {
            try tree.remove(orphan)
            return true
        }
        guard record.linkCount == 0 else { throw .corrupt("inode \(number) is an orphan with a link") }
        let (freed, isDone) = try tree.freeBlocks(
            number, in: 0..<Self.blocksEnd, limit: Self.operationExtents)
        if !isDone {
            record.blocks -= min(freed, record.blocks)
            try tree.storeInode(number, record, table)
            return false
        }
        var removed = 0
        while let cursor = try tree.first(from: ItemKey(number, .inlineData)), cursor.key.inode == number {
            guard removed < Self.operationItems else {
                record.blocks = 0
                // The first item to go, if there was one.
                record.flags.remove(.hasInlineData)
                try tree.storeInode(number, record, table)
                return false
            }
            try tree.remove(cursor.key)
            removed += 1
        }
        try tree.remove(ItemKey(number, .inode))
        try tree.remove(orphan)
        try tree.remove(ItemKey(ItemKey.filesystem, .trimIntent, number))
        try tree.remove(ItemKey(ItemKey.filesystem, .shiftIntent, number))
        store.superblock.inodes -= min(1, store.superblock.inodes)
        return true
    }

    /// Finishes what a crash interrupted: deletions of files without names, truncations, and moves within files.
    func resumeInterrupted() throws(VFSError) {
        for number in try numbers(of: .orphan) { try deleteOrphan(number) }
        for number in try numbers(of: .shiftIntent) {
            while try !operate({ () throws(VFSError) in try shiftStep(number) }) {}
        }
        for number in try numbers(of: .trimIntent) {
            let from = try store.look { tree throws(TreeError) -> UInt64? in
                let key = ItemKey(ItemKey.filesystem, .trimIntent, number)
                guard let stored = try tree.value(of: key) else { return nil }
                do throws(StoredError) {
                    return try StoredNumbers.decode(stored).first
                } catch { throw .unparsable(key, error) }
            }
            guard let from, from < Self.blocksEnd else { continue }
            while try !operate({ () throws(VFSError) in try trim(number, from: from) }) {}
        }
    }

    func numbers(of kind: ItemKind) throws(VFSError) -> [UInt64] {
        try store.look { tree throws(TreeError) in
            var numbers: [UInt64] = []
            var cursor = try tree.first(from: ItemKey(ItemKey.filesystem, kind))
            while let here = cursor, here.key.inode == ItemKey.filesystem, here.key.kind == kind.rawValue {
                numbers.append(here.key.offset)
                cursor = try tree.next(here)
            }
            return numbers
        }
    }
}
