import Synchronization
public import VFS

extension MemFS {
    /// - Throws: `ESTALE` for a number that names no file.
    func inode(_ node: NodeID) throws(VFSError) -> Inode {
        guard let inode = inodes[node.rawValue] else { throw VFSError(.staleNFSFileHandle) }
        return inode
    }

    /// - Throws: `ENOTDIR`, `ESTALE`.
    func directory(_ node: NodeID) throws(VFSError) -> Inode {
        let inode = try inode(node)
        guard inode.kind == .directory else { throw VFSError(.notDirectory) }
        return inode
    }

    /// - Throws: `EISDIR`, `EINVAL` for other kinds, `ESTALE`.
    func regularFile(_ node: NodeID) throws(VFSError) -> Inode {
        let inode = try inode(node)
        guard inode.kind == .regular else {
            throw VFSError(inode.kind == .directory ? .isDirectory : .invalidArgument)
        }
        return inode
    }

    /// The entry to hand out for `inode`, counted. Under the namespace lock.
    func entry(_ inode: Inode) -> Entry {
        inode.lookups.add(1, ordering: .sequentiallyConsistent)
        return Entry(node: NodeID(rawValue: inode.number), attributes: inode.attributes())
    }

    public func forget(_ node: NodeID, count: UInt64) {
        guard node != root, let inode = inodes[node.rawValue] else { return }
        decrement(inode.lookups, by: count)
        reapIfUnreferenced(inode)
    }

    /// Lowers a count, to 0 at the least.
    func decrement(_ counter: borrowing Atomic<UInt64>, by count: UInt64) {
        var current = counter.load(ordering: .relaxed)
        while true {
            let next = current > count ? current - count : 0
            let (done, found) = counter.compareExchange(
                expected: current, desired: next, ordering: .sequentiallyConsistent)
            if done { return }
            current = found
        }
    }

    /// Ends an inode that nothing refers to. Whoever drops the last of links, lookups and opens calls this after it,
    /// without the namespace lock: lookups and opens only rise, and links only change, under that lock.
    func reapIfUnreferenced(_ inode: Inode) {
        guard inode.isUnreferenced else { return }
        namespace.exclusive {
            if inode.isUnreferenced { inodes.remove(inode.number) }
        }
    }
}
