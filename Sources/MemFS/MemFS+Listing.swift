import Synchronization
public import VFS

extension MemFS {
    /// Entries looked at under one hold of the namespace lock; `body` runs outside it and may call back.
    private static let batch = 128

    public func readDirectory(
        _ node: NodeID, _ handle: Handle, after cookie: DirectoryCookie, plus: Bool,
        _ body: (DirectoryEntry) -> Bool
    ) throws(VFSError) {
        let directory = try directory(node)
        if OpenFlags(handle).isDisjoint(with: .noAccessTime) { directory.touchAccessTime() }
        var place = cookie.rawValue
        while true {
            let entries = try namespace.shared { () throws(VFSError) -> [DirectoryEntry] in
                try requireLive(directory)
                return try list(directory, behind: place, plus: plus)
            }
            for (position, entry) in entries.enumerated() {
                guard body(entry) else {
                    if plus { for refused in entries[position...] { forget(refused.node, count: 1) } }
                    return
                }
                place = entry.cookie.rawValue
            }
            if entries.count < Self.batch { return }
        }
    }

    private func list(_ directory: Inode, behind place: UInt64, plus: Bool) throws(VFSError) -> [DirectoryEntry] {
        var entries: [DirectoryEntry] = []
        for slot in directory.directory.entries(behind: place, limit: Self.batch) {
            guard let name = slot.name else { continue }
            let node = NodeID(rawValue: slot.node)
            let attributes = plus ? entry(try inode(node)).attributes : nil
            entries.append(
                DirectoryEntry(
                    name: name, node: node, kind: slot.kind, cookie: DirectoryCookie(rawValue: slot.cookie),
                    attributes: attributes))
        }
        return entries
    }
}
