import Glibc
import Synchronization
public import VFS

/// A filesystem in memory, as tmpfs: everything of the protocol, nothing survives it.
///
/// What ties files together (entries, link counts, parents) changes under one namespace lock; such a change takes about
/// a microsecond and moves no data. Data, attributes and extended attributes have a lock per file. Files hold memory
/// only for pages that were written or allocated.
///
/// Everything that grows with use counts against one limit, in bytes: pages, inodes, names, attributes. A call that
/// would pass it fails with `ENOSPC`; a write that gets part of the way says how far.
public final class MemFS: FileSystem {
    /// The largest file, in bytes: what `off_t` can name.
    static let maximumFileBytes = UInt64(Int64.max)

    public let root = NodeID(rawValue: 1)
    public let traits = Traits(
        ownsState: true, readOnly: false, maximumFileBytes: maximumFileBytes, typeName: "memfs")

    let budget: MemoryBudget
    let namespace = ReadWriteLock()
    let inodes = InodeTable()
    let rootInode: Inode
    private let nextNumber = Atomic<UInt64>(2)

    /// Half of the machine's memory, in bytes: the limit unless told otherwise, as tmpfs has it.
    public static var defaultMaximumBytes: UInt64 {
        let pages = max(sysconf(Int32(_SC_PHYS_PAGES)), 0)
        let pageBytes = max(sysconf(Int32(_SC_PAGESIZE)), 0)
        return max(UInt64(pages) * UInt64(pageBytes) / 2, 1 << 20)
    }

    /// - Parameters:
    ///   - maximumBytes: the most memory to take for files of all kinds.
    ///   - rootOwner: whom the root directory belongs to.
    ///   - rootPermissions: the root directory's permissions; by default anybody may make files, as in `/tmp`.
    public init(
        maximumBytes: UInt64 = MemFS.defaultMaximumBytes, rootOwner: Caller = .root,
        rootPermissions: UInt16 = 0o1777
    ) {
        let limit = max(maximumBytes, MemoryBudget.inodeBytes)
        budget = MemoryBudget(limitBytes: limit)
        precondition(budget.take(MemoryBudget.inodeBytes), "no room for the root")
        rootInode = Inode(
            number: root.rawValue, NewNode(kind: .directory, permissions: rootPermissions),
            permissions: rootPermissions & 0o7777, owner: rootOwner.user, group: rootOwner.group, links: 2,
            parent: root.rawValue, isUnnamed: false, budget: budget)
        inodes.insert(rootInode)
    }

    func newNumber() -> UInt64 { nextNumber.add(1, ordering: .relaxed).oldValue }

    /// Live memory only: free space is what the limit leaves, and every node needs some of it.
    public func statistics() throws(VFSError) -> Statistics {
        let pageBytes = UInt64(PageTree.pageBytes)
        let free = budget.freeBytes / pageBytes
        let freeNodes = budget.freeBytes / MemoryBudget.inodeBytes
        return Statistics(
            blockBytes: UInt32(pageBytes), totalBlocks: budget.limitBytes / pageBytes, freeBlocks: free,
            availableBlocks: free, totalNodes: UInt64(inodes.count) + freeNodes, freeNodes: freeNodes)
    }

    /// Nothing outlives the process, so there is nothing to wait for.
    public func commit(_ node: NodeID?, dataOnly: Bool) throws(VFSError) -> any DurabilityTicket {
        if let node { _ = try inode(node) }
        return ImmediateTicket()
    }
}
