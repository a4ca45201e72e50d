import SecureBlock
import Synchronization
import VFS

/// Turns what operations did into commits of the device.
///
/// **Whole operations only.** Every operation that changes anything holds the ``gate`` shared from its first effect to
/// its last, in the tree or on the device. A commit takes it exclusively while it writes what is still dirty and orders
/// the device's commit, so what is ordered lies between operations. Durability is waited for without the gate.
///
/// **Sharing.** A caller that comes while a commit runs waits for its turn and then takes the result of any commit that
/// began after it came.
///
/// **Failure.** When a dirty node cannot be written, memory and device differ for good: the filesystem latches.
final class Committer: Sendable {
    let gate = SharedLock()
    let latch: Latch
    private let device: any BlockDevice
    private let store: MetadataStore
    private let table: InodeTable
    /// Something happened since the last ordered commit.
    private let isChanged = Atomic(false)
    /// Bytes of data written since then.
    private let dataBytes = Atomic(0)
    private let dirtyLimit: Int
    /// One commit at a time.
    private let turn = Monitor()
    private let progress = Mutex(Progress())

    private struct Progress: Sendable {
        /// Commits begun.
        var begun: UInt64 = 0
        /// The last one ordered, and the last that took all times along.
        var ordered: UInt64 = 0
        var orderedWhole: UInt64 = 0
        var ticket: OrderedCommit?
    }

    /// From this many dirty nodes on, most are written before the gate closes.
    private static let writeAheadFrom = 64
    /// What may pile up while the device wants a commit. The device's space between wanting and requiring one is what
    /// the commit itself is written to, so operations wait for it before they add more.
    private static let wantedBytes = 1 << 20

    init(_ device: any BlockDevice, _ store: MetadataStore, _ table: InodeTable, latch: Latch, dirtyBytes: Int) {
        self.device = device
        self.store = store
        self.table = table
        self.latch = latch
        dirtyLimit = max(16, dirtyBytes / store.tree.nodeBytes)
    }

    /// Something changes that the next commit has to take along.
    /// - Parameter data: bytes of data it writes to the device.
    func noteChange(data: Int = 0) {
        isChanged.store(true, ordering: .releasing)
        if data > 0 { dataBytes.wrappingAdd(data, ordering: .relaxed) }
    }

    enum Pressure { case none, wanted, needed }

    /// How badly a commit is wanted by the device and by the memory that dirty nodes take.
    var pressure: Pressure {
        store.monitor.lock()
        let dirty = store.tree.dirtyCount
        store.monitor.unlock()
        if dirty > 2 * dirtyLimit { return .needed }
        guard device.commitWanted else { return dirty > dirtyLimit ? .wanted : .none }
        let waiting = dataBytes.load(ordering: .relaxed) + dirty * store.tree.nodeBytes
        return waiting >= Self.wantedBytes ? .needed : .wanted
    }

    /// Orders a commit of all that was done before this call.
    /// - Parameter dataOnly: times that changed alone may stay behind.
    func order(dataOnly: Bool = false) throws(VFSError) -> any DurabilityTicket {
        try order(dataOnly: dataOnly, isForced: false) {}
    }

    /// Orders a commit in any case.
    /// - Parameter alone: done while the gate keeps every operation away, before what is dirty then is written. Where it
    ///   fails, writing ends.
    func order(alone: () throws(DeviceError) -> Void) throws(VFSError) -> any DurabilityTicket {
        try order(dataOnly: false, isForced: true, alone)
    }

    /// Commits all that was done before this call, waits until that is durable, and runs `body` before anything changes:
    /// what the device holds then is that commit and nothing else. Changes wait meanwhile, reads do not.
    func quiesce(_ body: () -> Void) throws(VFSError) {
        _ = try order(dataOnly: false, isForced: true, {}, waits: true, body)
    }

    private func order(
        dataOnly: Bool, isForced: Bool, _ alone: () throws(DeviceError) -> Void, waits: Bool = false,
        _ durably: () -> Void = {}
    ) throws(VFSError) -> any DurabilityTicket {
        let arrival = progress.withLock { $0.begun }
        turn.lock()
        defer { turn.unlock() }
        let (shared, last) = progress.withLock { progress in
            let covering = dataOnly ? progress.ordered : progress.orderedWhole
            return (covering > arrival ? progress.ticket : nil, progress.ticket)
        }
        if !isForced, let shared { return shared }
        let isIdle =
            !isForced && !isChanged.load(ordering: .acquiring) && (dataOnly || !table.hasPendingTimes)
        if isIdle {
            if let last { return last }
            return ImmediateTicket()
        }
        if let cause = latch.cause { throw VFSError(.ioError, fault: "not committed: \(cause)") }
        let number = progress.withLock { progress in
            progress.begun += 1
            return progress.begun
        }
        if !dataOnly { try storeTimes() }
        let ticket: OrderedCommit
        do throws(DeviceError) {
            try writeAhead(after: last)
            gate.lockExclusive()
            defer { gate.unlock() }
            try alone()
            let commit: any CommitTicket
            if FileSabotage.isOn(.commitBeforeNodes) {
                commit = try device.commit()
                try writeRest(after: last)
            } else {
                try writeRest(after: last)
                commit = try device.commit()
            }
            isChanged.store(false, ordering: .releasing)
            dataBytes.store(0, ordering: .relaxed)
            ticket = OrderedCommit(commit, latch: latch)
            if waits { try commit.wait() }
            durably()
        } catch {
            latch.set("commit: \(error.text)")
            throw VFSError(.ioError, fault: "commit: \(error.text)")
        }
        progress.withLock { progress in
            progress.ordered = number
            if !dataOnly { progress.orderedWhole = number }
            progress.ticket = ticket
        }
        return ticket
    }

    /// Brings times that only memory knows into the tree.
    private func storeTimes() throws(VFSError) {
        let now = table.inodesWithPendingTimes
        guard !now.isEmpty else { return }
        gate.lockShared()
        defer { gate.unlock() }
        for number in now {
            noteChange()
            try store.change(mayUseReserve: true) { tree throws(TreeError) in
                // Deleted meanwhile: its times went with it.
                guard let inode = try tree.inodeIfPresent(number, table) else {
                    table.dropTimes(number)
                    return
                }
                try tree.storeInode(number, inode, table)
            }
        }
    }

    /// Writes most dirty nodes while operations go on; whatever they change again is written again.
    private func writeAhead(after last: OrderedCommit?) throws(DeviceError) {
        var rounds = 64
        while rounds > 0 {
            rounds -= 1
            store.monitor.lock()
            guard store.tree.dirtyCount >= Self.writeAheadFrom else { return store.monitor.unlock() }
            let nodes = store.tree.takeDirty(limit: 256)
            let copies = nodes.map { node in
                (node.address, Array(node.content))
            }
            store.monitor.unlock()
            let failure = attempt(after: last) { () throws(DeviceError) in
                var writes = StagedWrites(device)
                for (address, bytes) in copies { try writes.add(address, bytes) }
                try writes.flush()
            }
            store.monitor.lock()
            store.tree.landed(nodes, written: failure == nil)
            store.monitor.unlock()
            if let failure { throw failure }
        }
    }

    /// Writes; where the device has no room, once more after the last commit is durable, which may return some.
    /// Whatever was written before is written again.
    private func attempt(
        after last: OrderedCommit?, _ write: () throws(DeviceError) -> Void
    ) -> DeviceError? {
        var mayRetry = last != nil
        while true {
            do throws(DeviceError) {
                try write()
                return nil
            } catch {
                guard mayRetry, error == .noSpace || error == .commitRequired, let last else { return error }
                mayRetry = false
                do throws(VFSError) { try last.wait() } catch { return .latched("\(error)") }
            }
        }
    }

    /// Writes all that differs; the gate keeps every change away.
    private func writeRest(after last: OrderedCommit?) throws(DeviceError) {
        store.monitor.lock()
        let nodes = store.tree.takeDirty()
        let (groups, freed) = store.space.settle()
        for group in groups {
            group.isDirty = false
            group.isInCommit = true
        }
        let superblock = store.changedSuperblock()
        let tables = Set(groups.map { UInt64($0.number) / Superblock.groupsPerTableBlock }).sorted()
        let tableBlocks = tables.map { store.space.tableBlock($0) }
        store.monitor.unlock()

        let failure = attempt(after: last) { () throws(DeviceError) in
            var writes = StagedWrites(device)
            if let superblock, !FileSabotage.isOn(.commitLeavesCounters) { try writes.add(0, superblock.stored) }
            for (number, bytes) in zip(tables, tableBlocks) { try writes.add(1 + number, bytes) }
            for group in groups where !FileSabotage.isOn(.commitLeavesBitmaps) {
                try writes.add(store.space.bitmapStart + UInt64(group.number), group.stored)
            }
            for node in nodes {
                try writes.add(node.address, node.content)
            }
            try writes.flush()
            for range in freed where !FileSabotage.isOn(.keepFreedBlocks) {
                try device.discard(LogicalBlock(range.lowerBound), count: UInt64(range.count))
            }
        }

        store.monitor.lock()
        store.tree.landed(nodes, written: failure == nil)
        for group in groups { group.isInCommit = false }
        if let superblock, failure == nil { store.superblockLanded(superblock) }
        store.monitor.unlock()
        if let failure { throw failure }
    }
}
