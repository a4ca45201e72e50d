import VFS

/// How names are found: the filesystem's hash, and which of its bits are in use.
struct NameIndex {
    let hash: NameHash
    let mask: UInt64

    func key(_ name: Name, in directory: UInt64) -> ItemKey {
        ItemKey(directory, .nameHash, hash(name.bytes) & mask)
    }
}

extension Tree {
    func directoryItem(_ directory: UInt64, _ sequence: UInt64) throws(TreeError) -> DirectoryItem? {
        let key = ItemKey(directory, .entry, sequence)
        guard let stored = try value(of: key) else { return nil }
        do throws(StoredError) { return try DirectoryItem(stored: stored) } catch { throw .unparsable(key, error) }
    }

    private func sequences(_ key: ItemKey) throws(TreeError) -> [UInt64] {
        guard let stored = try value(of: key) else { return [] }
        do throws(StoredError) { return try StoredNumbers.decode(stored) } catch { throw .unparsable(key, error) }
    }

    /// The entry of `name`, if there is one.
    func findEntry(
        _ name: Name, in directory: UInt64, _ index: NameIndex
    ) throws(TreeError) -> (sequence: UInt64, item: DirectoryItem)? {
        let key = index.key(name, in: directory)
        for sequence in try sequences(key) {
            guard let item = try directoryItem(directory, sequence) else {
                throw .corrupt("item \(key): no entry \(sequence)")
            }
            if item.name == name { return (sequence, item) }
        }
        return nil
    }

    /// Adds a name that is not there yet: the entry, its hash, and the inode's backlink.
    func addEntry(
        _ item: DirectoryItem, in directory: UInt64, sequence: UInt64, _ index: NameIndex
    ) throws(TreeError) {
        let key = index.key(item.name, in: directory)
        let list = try sequences(key) + [sequence]
        guard list.count * 8 <= maximumValueBytes else { throw .refused(.noSpace) }
        try set(key, StoredNumbers.encode(list))
        try insert(ItemKey(directory, .entry, sequence), item.stored)
        if FileSabotage.isOn(.dropBacklink) { return }
        try insert(ItemKey(item.inode, .backlink, sequence), StoredNumbers.encode([directory]))
    }

    func removeEntry(
        _ item: DirectoryItem, in directory: UInt64, sequence: UInt64, _ index: NameIndex
    ) throws(TreeError) {
        let key = index.key(item.name, in: directory)
        let list = try sequences(key).filter { $0 != sequence }
        if !FileSabotage.isOn(.keepNameHash) {
            if list.isEmpty { try remove(key) } else { try set(key, StoredNumbers.encode(list)) }
        }
        guard try remove(ItemKey(directory, .entry, sequence)),
            try remove(ItemKey(item.inode, .backlink, sequence))
        else { throw .corrupt("entry \(sequence) of inode \(directory): entry or backlink is missing") }
    }

    /// One name of an inode: its directory and sequence. A directory has exactly one.
    func backlink(of number: UInt64) throws(TreeError) -> (directory: UInt64, sequence: UInt64)? {
        guard let cursor = try first(from: ItemKey(number, .backlink)), cursor.key.inode == number,
            cursor.key.kind == ItemKind.backlink.rawValue
        else { return nil }
        do throws(StoredError) {
            guard let parent = try StoredNumbers.decode(cursor.value).first else { return nil }
            return (parent, cursor.key.offset)
        } catch { throw .unparsable(cursor.key, error) }
    }

    /// Whether `directory` is `ancestor` or below it.
    /// - Throws: `corrupt` when the way up does not end at the root.
    func isBelow(_ directory: UInt64, _ ancestor: UInt64) throws(TreeError) -> Bool {
        var position = directory
        // A way up that meets a directory twice never ends: compare with a mark that jumps ahead in doubling steps.
        var mark = directory
        var steps = 0
        var limit = 2
        while position != ancestor {
            guard position != Inode.rootNumber else { return false }
            guard let (parent, _) = try backlink(of: position) else { return false }
            position = parent
            guard position != mark else { throw .corrupt("directory \(mark) is below itself") }
            steps += 1
            if steps == limit {
                mark = position
                steps = 0
                limit *= 2
            }
        }
        return true
    }
}
