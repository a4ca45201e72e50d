import SecureBlock
import VFS

/// An encrypted filesystem: files, directories and all that Linux programs expect, on any ``BlockDevice``.
///
/// The device commits atomically, so there is no journal here: operations change one tree of metadata and write data to
/// the device at once, and a commit, always between operations, makes all of it durable together. After a crash the
/// device opens at one commit and with it the filesystem, complete.
///
///     try EncFS.format(device, EncFS.FormatOptions())
///     let files = try EncFS(mounting: device, EncFS.MountOptions())
///     …
///     try files.close()
///
/// **What is durable when.** ``commit(_:dataOnly:)`` orders; once its ticket's `wait()` returned, all that was done
/// before is durable. Beside that, commits run at an interval, when the device or the memory for changed metadata wants
/// one, and at ``close()``.
///
/// **Failures.** Data that does not verify is `EIO` for that read alone. Metadata that does not verify, or a commit that
/// fails, ends writing: what is in memory stays readable, every change is `EROFS`, and mounting again shows the last
/// commit.
///
/// **Locks**, in this order: ``layoutLock``, ``Committer/gate``, an inode's lock, the tree lock (``MetadataStore``), the inode table. No
/// device I/O happens under the tree lock.
public final class EncFS: FileSystem {
    /// What ``format(_:_:)`` makes.
    public struct FormatOptions: Sendable {
        /// Size of a tree node in bytes: 4096, 8192, 16384 or 32768.
        public var nodeBytes = 16384
        public var rootOwner: UInt32 = 0
        public var rootGroup: UInt32 = 0
        public var rootPermissions: UInt16 = 0o755
        /// Keep the last bytes of small files in the tree, where they do not take a block of their own. Programs from before this
        /// was known do not mount such a filesystem.
        public var packsTails = true
        /// Makes the same filesystem whenever it is made: this is the time of making, and nothing is random. `nil`: now, with an
        /// identity and a hash of names of its own.
        public var reproducibleTime: Timestamp?
        public init() {}
    }

    /// How a filesystem is mounted.
    public struct MountOptions: Sendable {
        public var readOnly = false
        /// Time between commits of their own accord; 0 for none.
        public var commitIntervalMilliseconds = 5000
        /// Memory for tree nodes. Dirty ones are committed from a quarter of it on.
        public var nodeCacheBytes = 32 << 20
        /// Commit on a thread of its own, at the interval and when the device or memory wants it. Otherwise one is made inside the
        /// operation that cannot go on without, so that the same operations always make the same commits.
        public var commitsInBackground = true
        /// What times are set to.
        public var clock: @Sendable () -> Timestamp = { Timestamp.now }
        /// Leave access times alone; otherwise they follow reads as `relatime` does.
        public var noAccessTime = false
        /// Called with one line for every fault an operator should know of; from any thread.
        public var reportFault: @Sendable (String) -> Void = { _ in }
        public init() {}
    }

    let device: any BlockDevice
    let options: MountOptions
    let isReadOnly: Bool
    let store: MetadataStore
    let table: InodeTable
    let committer: Committer
    let timer: CommitTimer
    let latch: Latch
    /// Held exclusively by a resize, shared by operations that give extents another place in the order of items.
    let layoutLock = SharedLock()
    let nameHash: NameHash
    /// Files of a read-only mount in the middle of a chain that only a writable one can finish. Set before any call.
    private(set) nonisolated(unsafe) var unfinishedShifts: Set<UInt64> = []
    /// Bits of a name's hash in use; tests narrow it to make collisions.
    let nameHashMask: UInt64

    /// The largest link count, as a 32-bit count allows.
    static let maximumLinks: UInt32 = 0x7FFF_FFFF

    public let root = NodeID(rawValue: Inode.rootNumber)

    public var traits: Traits {
        Traits(
            ownsState: true, readOnly: isReadOnly || latch.cause != nil, maximumFileBytes: Inode.maximumBytes,
            typeName: "encfs")
    }

    /// Mounts the filesystem on `device`. A writable mount first finishes what a crash interrupted: it deletes files
    /// without names and frees blocks of unfinished truncations.
    ///
    /// The device must not be used by anybody else until ``close()``; it stays open afterwards.
    /// - Throws: ``EncFSError``; nothing was changed then, or only part of that cleaning.
    public convenience init(mounting device: any BlockDevice, _ options: MountOptions) throws(EncFSError) {
        try self.init(mounting: device, options, nameHashMask: .max)
    }

    init(mounting device: any BlockDevice, _ options: MountOptions, nameHashMask: UInt64) throws(EncFSError) {
        let superblock = try Self.readSuperblock(device)
        isReadOnly = options.readOnly || device.isReadOnly
        if !isReadOnly, superblock.readOnlyCompatible != 0 { throw .unknownFeatures }
        let counts = try Self.readGroupTable(device, superblock)
        let latch = Latch(report: options.reportFault)
        let cacheBytes = max(options.nodeCacheBytes, 1 << 20)
        let store = MetadataStore(device, superblock, freeCounts: counts, cacheBytes: cacheBytes, latch: latch)
        let table = InodeTable()
        let committer = Committer(device, store, table, latch: latch, dirtyBytes: cacheBytes / 4)
        self.device = device
        self.options = options
        self.latch = latch
        self.store = store
        self.table = table
        self.committer = committer
        self.nameHashMask = nameHashMask
        nameHash = superblock.nameHash
        timer = CommitTimer(intervalMilliseconds: options.commitIntervalMilliseconds) {
            guard latch.cause == nil else { return }
            do throws(VFSError) {
                // Waiting makes a failure known here, not only to the next caller.
                try committer.order().wait()
            } catch {
                latch.set("commit: \(error)")
            }
        }
        do throws(VFSError) {
            guard try attributes(root).kind == .directory else {
                throw VFSError(.ioError, fault: "the root is no directory")
            }
            if isReadOnly {
                unfinishedShifts = Set(try numbers(of: .shiftIntent))
            } else {
                try resumeInterrupted()
            }
        } catch {
            throw .corrupt(error.fault ?? "\(error)")
        }
        if !isReadOnly, options.commitsInBackground { try timer.start() }
    }

    /// Commits everything, durable on return, and ends all work on the device. Calls afterwards are `EROFS` or reads.
    /// - Throws: ``EncFSError/latched(_:)`` when an earlier failure or this commit lost what was not committed.
    public func close() throws(EncFSError) {
        guard !isReadOnly else { return }
        timer.stop()
        if let cause = latch.cause {
            if cause == Self.closedCause { return }
            throw .latched(cause)
        }
        do throws(VFSError) {
            try committer.order().wait()
        } catch {
            throw .latched(error.fault ?? "\(error)")
        }
        latch.set(Self.closedCause, isFailure: false)
    }

    private static let closedCause = "closed"

    /// Without ``close()`` first, as a crash: what was not committed is lost.
    deinit { timer.stop() }

    // MARK: running operations

    /// Runs one operation that changes something: whole in a commit, or not at all.
    func operate<R>(_ body: () throws(VFSError) -> R) throws(VFSError) -> R {
        if isReadOnly { throw VFSError(.readOnlyFileSystem) }
        try latch.check()
        switch committer.pressure {
        case .none: break
        case .wanted: timer.request()
        case .needed: _ = try committer.order()
        }
        committer.gate.lockShared()
        defer { committer.gate.unlock() }
        committer.noteChange()
        return try body()
    }

    /// As ``operate(_:)``; when space runs out while freed blocks wait for a commit, commits and tries once more.
    func operateRetrying<R>(_ body: () throws(VFSError) -> R) throws(VFSError) -> R {
        do throws(VFSError) {
            return try operate(body)
        } catch {
            guard error.errno == .noSpace, store.hasPendingSpace else { throw error }
        }
        _ = try committer.order()
        return try operate(body)
    }

    /// One change of the tree alone.
    func change<R>(
        mayUseReserve: Bool = false, _ body: (Tree) throws(TreeError) -> R
    ) throws(VFSError) -> R {
        try operateRetrying { () throws(VFSError) in try store.change(mayUseReserve: mayUseReserve, body) }
    }
}
