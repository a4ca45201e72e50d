import VFS

/// An inode somebody refers to or works on.
final class LiveInode: @unchecked Sendable {
    let number: UInt64
    /// Data I/O holds it shared, changes of size or blocks exclusively.
    let lock = SharedLock()
    /// Blocks from here on are left over from a truncation that is not finished; whoever next holds ``lock``
    /// exclusively for a change finishes it first. Used only under that lock.
    var trimFrom: UInt64?
    /// Some of the extents are still to move within the file. Set and ended by holders of ``lock`` who have it
    /// exclusively; readers who find it set help.
    var isShifting = false
    /// The device failed while bytes were on their way to it that a write was promised: nobody may read what is there instead.
    /// Set by a holder of ``lock`` who has it exclusively; ends with the mount, as writing did.
    var hasLostBytes = false

    // SAFETY: what follows is used only while the table's monitor is held.
    fileprivate(set) var users = 0
    fileprivate(set) var lookups: UInt64 = 0
    fileprivate(set) var opens = 0
    fileprivate(set) var isUnlinked = false
    fileprivate(set) var isDying = false
    fileprivate var times = PendingTimes()

    fileprivate init(_ number: UInt64) { self.number = number }

    fileprivate var isUnreferenced: Bool { users == 0 && lookups == 0 && opens == 0 }
    /// Nothing is known of it but lookups, if any. Whoever used it last has given ``lock`` back.
    fileprivate var isIdle: Bool {
        users == 0 && opens == 0 && !isUnlinked && !isDying && times.isEmpty && trimFrom == nil && !isShifting
            && !hasLostBytes
    }
}

/// Times that changed alone and are in memory only, until something else changes the inode or a commit takes them.
struct PendingTimes: Equatable, Sendable {
    var access: Timestamp?
    var modification: Timestamp?
    var change: Timestamp?

    var isEmpty: Bool { self == PendingTimes() }

    func apply(to inode: inout Inode) {
        if let access { inode.accessTime = access }
        if let modification { inode.modificationTime = modification }
        if let change { inode.changeTime = change }
    }
}

/// Who refers to which inode. An inode without names lives until nobody does.
///
/// A kernel with much memory holds millions of lookups: an inode that is only looked up takes an entry of two words here.
final class InodeTable: @unchecked Sendable {
    // SAFETY: the mutable state is used only while `monitor` is held. It is the innermost lock.
    private let monitor = Monitor()
    private var inodes: [UInt64: LiveInode] = [:]
    /// Lookups of inodes that are not in ``inodes``; never 0.
    private var lookups: [UInt64: UInt64] = [:]
    private var timed: Set<UInt64> = []

    private func locked<R>(_ body: () -> R) -> R {
        monitor.lock()
        defer { monitor.unlock() }
        return body()
    }

    private func entry(_ number: UInt64) -> LiveInode {
        if let inode = inodes[number] { return inode }
        let inode = LiveInode(number)
        inode.lookups = lookups.removeValue(forKey: number) ?? 0
        inodes[number] = inode
        return inode
    }

    /// Keeps the inode from being deleted until ``release(_:)``.
    func use(_ node: NodeID) throws(VFSError) -> LiveInode {
        let inode = locked { () -> LiveInode? in
            let inode = entry(node.rawValue)
            guard !inode.isDying else { return nil }
            inode.users += 1
            return inode
        }
        guard let inode else { throw VFSError(.noSuchFileOrDirectory) }
        return inode
    }

    /// - Returns: whether the caller now has to delete the inode, and then call ``deleted(_:)``.
    func release(_ inode: LiveInode) -> Bool {
        locked {
            inode.users -= 1
            return settle(inode)
        }
    }

    func addLookup(_ number: UInt64) {
        locked {
            if let inode = inodes[number] { inode.lookups += 1 } else { lookups[number, default: 0] += 1 }
        }
    }

    func addOpen(_ number: UInt64) { locked { entry(number).opens += 1 } }

    /// - Returns: the inode, if the caller now has to delete it.
    func forget(_ number: UInt64, count: UInt64) -> LiveInode? {
        locked {
            guard let inode = inodes[number] else {
                if let held = lookups[number] { lookups[number] = held > count ? held - count : nil }
                return nil
            }
            inode.lookups -= min(count, inode.lookups)
            return settle(inode) ? inode : nil
        }
    }

    /// - Returns: the inode, if the caller now has to delete it.
    func dropOpen(_ number: UInt64) -> LiveInode? {
        locked {
            guard let inode = inodes[number] else { return nil }
            inode.opens -= min(1, inode.opens)
            return settle(inode) ? inode : nil
        }
    }

    /// The inode lost its last name.
    /// - Returns: the inode, if the caller now has to delete it.
    func unlinked(_ number: UInt64) -> LiveInode? {
        locked {
            let inode = entry(number)
            inode.isUnlinked = true
            return settle(inode) ? inode : nil
        }
    }

    /// The inode has, or again has, a name or is about to.
    func setUnlinked(_ number: UInt64, _ isUnlinked: Bool) {
        locked {
            let inode = entry(number)
            inode.isUnlinked = isUnlinked
            if !isUnlinked { _ = settle(inode) }
        }
    }

    func deleted(_ inode: LiveInode) {
        locked {
            inodes[inode.number] = nil
            timed.remove(inode.number)
        }
    }

    /// - Returns: whether the inode is to be deleted now.
    private func settle(_ inode: LiveInode) -> Bool {
        if inode.isUnreferenced, inode.isUnlinked, !inode.isDying {
            inode.isDying = true
            return true
        }
        if inode.isIdle {
            inodes[inode.number] = nil
            if inode.lookups > 0 { lookups[inode.number] = inode.lookups }
        }
        return false
    }

    // MARK: times

    func noteTimes(_ number: UInt64, _ change: (inout PendingTimes) -> Void) {
        locked {
            let inode = entry(number)
            change(&inode.times)
            timed.insert(number)
        }
    }

    func times(_ number: UInt64) -> PendingTimes? {
        locked { timed.contains(number) ? inodes[number]?.times : nil }
    }

    /// The tree knows these times now, unless they changed again.
    func timesStored(_ number: UInt64, _ stored: PendingTimes) {
        locked {
            guard let inode = inodes[number], inode.times == stored else { return }
            inode.times = PendingTimes()
            timed.remove(number)
            _ = settle(inode)
        }
    }

    func dropTimes(_ number: UInt64) {
        locked {
            timed.remove(number)
            guard let inode = inodes[number] else { return }
            inode.times = PendingTimes()
            _ = settle(inode)
        }
    }

    var hasPendingTimes: Bool { locked { !timed.isEmpty } }
    var inodesWithPendingTimes: [UInt64] { locked { timed.sorted() } }
    var count: Int { locked { inodes.count + lookups.count } }

    /// The inodes somebody refers to, for tests.
    func isReferenced(_ number: UInt64) -> Bool {
        locked { inodes[number].map { !$0.isUnreferenced } ?? (lookups[number] != nil) }
    }
}
