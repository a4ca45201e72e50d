import Synchronization
public import VFS

/// One entry as `getdents64(2)` gives it, `.` and `..` included.
public struct ListedEntry: Sendable, Hashable {
    public var name: [UInt8]
    public var node: NodeID
    public var kind: NodeKind
    /// The directory's offset behind this entry, for ``FileContext/lseek(_:_:_:)``.
    public var offset: Int64

    public var text: String { String(decoding: name, as: UTF8.self) }
}

extension FileContext {
    /// The next entries of an open directory, at most `limit`; none at its end. Entries that stay are given once.
    /// - Throws: `EBADF`, `ENOTDIR`, `ENOENT` when the directory was removed.
    public func getdents(_ descriptor: Descriptor, limit: Int = 256) throws(VFSError) -> [ListedEntry] {
        let file = try file(descriptor)
        let handle = try file.opened()
        guard file.kind == .directory else { throw VFSError(.notDirectory) }
        return try file.position.withLock { (position) throws(VFSError) -> [ListedEntry] in
            var entries: [ListedEntry] = []
            let root = state.withLock { $0.root }
            if position == 0, entries.count < limit {
                entries.append(ListedEntry(name: Array(".".utf8), node: file.node, kind: .directory, offset: 1))
                position = 1
            }
            if position == 1, entries.count < limit {
                let parent = file.node == root.node ? file.node : try namespace.parent(of: file.node)
                entries.append(ListedEntry(name: Array("..".utf8), node: parent, kind: .directory, offset: 2))
                position = 2
            }
            let start = position <= 2 ? DirectoryCookie.start : DirectoryCookie(rawValue: position)
            var last = position
            try namespace.readDirectory(file.node, handle, after: start, plus: false) { entry in
                guard entries.count < limit else { return false }
                entries.append(
                    ListedEntry(
                        name: entry.name.bytes, node: entry.node, kind: entry.kind,
                        offset: Int64(truncatingIfNeeded: entry.cookie.rawValue)))
                last = entry.cookie.rawValue
                return true
            }
            position = last
            return entries
        }
    }

    /// The names in a directory without `.` and `..`, in its order.
    /// - Throws: as ``open(_:_:permissions:at:)`` and ``getdents(_:limit:)``.
    public func names(in path: Path, at base: Descriptor = .currentDirectory) throws(VFSError) -> [[UInt8]] {
        let directory = try open(path, .directory, at: base)
        var names: [[UInt8]] = []
        do throws(VFSError) {
            while true {
                let entries = try getdents(directory)
                if entries.isEmpty { break }
                names += entries.filter { $0.offset > 2 }.map(\.name)
            }
        } catch {
            try close(directory)
            throw error
        }
        try close(directory)
        return names
    }
}
