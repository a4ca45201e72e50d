import SecureBlock
import VFS

/// The metadata under its lock: the tree, the free space and the counters of the superblock, loaded on demand.
///
/// Operations look through ``look(_:)`` and change through ``change(mayUseReserve:_:)``. Their bodies run under the tree
/// lock and do no I/O: a node or bitmap block that is not in memory undoes the body, is read without the lock, stays
/// pinned, and the body runs again. So a body must have no effect but on the tree before its last statement.
final class MetadataStore: @unchecked Sendable {
    // SAFETY: everything mutable here is used only while `monitor` is held.
    let device: any BlockDevice
    let latch: Latch
    let monitor = Monitor()
    let tree: Tree
    let space: Space
    var superblock: Superblock
    private var writtenSuperblock: Superblock

    private enum Place: Hashable {
        case node(UInt64)
        case group(Int)
    }
    /// What is being read now, by whom; entries vanish when what is read became stale.
    private var loads: [Place: UInt64] = [:]
    private var lastLoad: UInt64 = 0

    init(_ device: any BlockDevice, _ superblock: Superblock, freeCounts: [UInt32], cacheBytes: Int, latch: Latch) {
        self.device = device
        self.latch = latch
        self.superblock = superblock
        writtenSuperblock = superblock
        space = Space(superblock, freeCounts: freeCounts)
        tree = Tree(
            nodeBytes: superblock.nodeBytes, root: superblock.root, rootLevel: superblock.rootLevel,
            cache: NodeCache(limit: cacheBytes / superblock.nodeBytes), space: space)
        tree.nodePlaceChanged = { [unowned self] address in loads[.node(address)] = nil }
    }

    /// Runs `body` on the tree as it is, without changing it.
    func look<R>(_ body: (Tree) throws(TreeError) -> R) throws(VFSError) -> R {
        try run(body) {
        } keep: {
        } undo: {
        }
    }

    /// Runs `body` as one change: all of it happens, or nothing.
    /// - Parameter mayUseReserve: for operations that free space in the end.
    func change<R>(mayUseReserve: Bool = false, _ body: (Tree) throws(TreeError) -> R) throws(VFSError) -> R {
        try latch.check()
        var counters = superblock
        return try run(body) {
            counters = superblock
            tree.begin(mayUseReserve: mayUseReserve)
        } keep: {
            tree.keep()
        } undo: {
            tree.undo()
            superblock = counters
        }
    }

    private func run<R>(
        _ body: (Tree) throws(TreeError) -> R, begin: () -> Void, keep: () -> Void, undo: () -> Void
    ) throws(VFSError) -> R {
        var pinned: [Node] = []
        monitor.lock()
        defer {
            for node in pinned { node.pins -= 1 }
            monitor.unlock()
        }
        while true {
            begin()
            do throws(TreeError) {
                let result = try body(tree)
                keep()
                return result
            } catch {
                undo()
                switch error {
                case .missingNode(let address, let level):
                    if let node = try load(address, level: level) {
                        node.pins += 1
                        pinned.append(node)
                    }
                case .missingGroup(let number): try load(group: number)
                case .noSpace: throw VFSError(.noSpace)
                case .refused(let errno): throw VFSError(errno)
                case .corrupt(let what): throw broken(what)
                }
            }
        }
    }

    /// Metadata that is not what our own writing leaves ends writing.
    func broken(_ what: String) -> VFSError {
        latch.set(what)
        return VFSError(.ioError, fault: what)
    }

    // MARK: loading

    /// Reads a node; the lock is held before and after, not meanwhile.
    /// - Returns: `nil` when what was read is not the node any more: look again.
    private func load(_ address: UInt64, level: Int) throws(VFSError) -> Node? {
        guard address >= superblock.dataStart, address <= superblock.blocks - superblock.nodeBlocks else {
            throw broken("node address \(address) is outside the filesystem")
        }
        var loaded: Result<Node, StoredError>?
        let isCurrent = try read(.node(address), blocks: address, byteCount: tree.nodeBytes) { bytes in
            do throws(StoredError) {
                loaded = .success(try Node(reading: bytes, address: address, level: level))
            } catch { loaded = .failure(error) }
        }
        if let present = tree.cache[address] { return present }
        guard isCurrent, let loaded else { return nil }
        switch loaded {
        case .success(let node):
            tree.cache.makeRoom()
            tree.cache.add(node)
            return node
        case .failure(let error): throw broken("node at block \(address): \(error)")
        }
    }

    private func load(group number: Int) throws(VFSError) {
        var loaded: Result<BitmapGroup, StoredError>?
        let isCurrent = try read(
            .group(number), blocks: superblock.bitmapStart + UInt64(number), byteCount: blockBytes
        ) { bytes in
            do throws(StoredError) {
                loaded = .success(try BitmapGroup(number: number, stored: bytes))
            } catch { loaded = .failure(error) }
        }
        guard isCurrent, case .success(let group) = loaded else { return }
        do throws(TreeError) {
            try space.add(group)
        } catch {
            guard case .corrupt(let what) = error else { return }
            throw broken(what)
        }
    }

    /// - Returns: whether the bytes are still what is stored there.
    private func read(
        _ place: Place, blocks first: UInt64, byteCount: Int, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(VFSError) -> Bool {
        if loads[place] != nil {
            while loads[place] != nil { monitor.wait() }
            return false
        }
        lastLoad += 1
        let ticket = lastLoad
        loads[place] = ticket
        monitor.unlock()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: blockBytes)
        defer { buffer.deallocate() }
        var failure: DeviceError?
        do throws(DeviceError) {
            try device.read(LogicalBlock(first), into: buffer)
            body(UnsafeRawBufferPointer(buffer))
        } catch { failure = error }
        monitor.lock()
        let isCurrent = loads[place] == ticket
        if isCurrent { loads[place] = nil }
        monitor.wakeAll()
        if isCurrent, let failure { throw broken("metadata: \(failure.text)") }
        return isCurrent
    }

    // MARK: the commit's view

    /// The superblock as it is to be stored, if it differs from the stored one.
    func changedSuperblock() -> Superblock? {
        superblock.root = tree.root
        superblock.rootLevel = tree.rootLevel
        superblock.freeBlocks = space.freeBlocks
        guard superblock != writtenSuperblock else { return nil }
        superblock.commits += 1
        return superblock
    }

    func superblockLanded(_ stored: Superblock) { writtenSuperblock = stored }
}

extension MetadataStore {
    /// Whether blocks were freed that the next commit makes allocatable.
    var hasPendingSpace: Bool {
        monitor.lock()
        defer { monitor.unlock() }
        return space.pendingBlocks > 0
    }

    /// A number for a new inode; never given again.
    func takeInodeNumber() -> UInt64 {
        defer { superblock.nextInode += 1 }
        return superblock.nextInode
    }

    /// A number for a new name; never given again, and larger than all before.
    func takeSequence() -> UInt64 {
        defer { superblock.nextSequence += 1 }
        return superblock.nextSequence
    }
}
