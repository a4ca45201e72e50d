/// One filesystem, spoken to in numbers: what EncFS, MemFS and HostFS implement, what LibOSCore composes into one
/// namespace (which is a `FileSystem` again), and what the FUSE front serves.
///
/// Calls are synchronous and may come from any thread. Permission checks are the caller's task (LibOSCore's path-level
/// face or the kernel's `default_permissions`); a filesystem uses ``Caller`` for ownership only, set-group-ID
/// directories included (`inode(7)`).
///
/// - Every ``Entry`` and every ``DirectoryEntry`` with attributes adds one to its node's lookup count; a node lives
///   until its links, its opens and its lookup count are all gone. The root is never forgotten.
/// - A call that a filesystem does not have throws `ENOTSUP` (or `ENOSYS` by the defaults below), never pretends.
/// - A failed call changes nothing.
public protocol FileSystem: AnyObject, Sendable {
    var root: NodeID { get }
    var traits: Traits { get }

    /// - Throws: `ENOENT`, `ENOTDIR`.
    func lookup(_ name: Name, in directory: NodeID) throws(VFSError) -> Entry
    /// The directory that holds directory `node`; the root is its own parent. Does not add to a lookup count.
    func parent(of node: NodeID) throws(VFSError) -> NodeID
    func forget(_ node: NodeID, count: UInt64)

    func attributes(_ node: NodeID) throws(VFSError) -> Attributes
    func setAttributes(_ node: NodeID, _ change: AttributeChange, by caller: Caller) throws(VFSError) -> Attributes

    /// Makes a node of any kind. Without a name the file is made unlinked (`O_TMPFILE`).
    /// - Throws: `EEXIST`, `ENOSPC`, `EMLINK`, `ENOTDIR`.
    func make(_ new: NewNode, named name: Name?, in directory: NodeID, by caller: Caller) throws(VFSError) -> Entry
    /// - Throws: `EEXIST`, `EMLINK`, `EPERM` for directories.
    func link(_ node: NodeID, as name: Name, in directory: NodeID) throws(VFSError) -> Entry
    /// - Throws: `ENOENT`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`.
    func remove(_ name: Name, in directory: NodeID, _ kind: RemovalKind) throws(VFSError)
    /// - Throws: as `renameat2(2)`; `EINVAL` for a directory moved below itself.
    func rename(
        _ name: Name, in directory: NodeID, to newName: Name, in newDirectory: NodeID, _ flags: RenameFlags
    ) throws(VFSError)
    func readLink(_ node: NodeID) throws(VFSError) -> [UInt8]

    /// Gives entries behind `after` to `body`, in cookie order, until it returns `false` (that entry does not count as
    /// given) or the directory ends. `.` and `..` are the front's. An entry that exists during the whole scan is given
    /// exactly once; one made or removed meanwhile at most once.
    /// - Parameter plus: also give attributes, and add to lookup counts of the entries `body` accepted.
    func readDirectory(
        _ node: NodeID, _ handle: Handle, after cookie: DirectoryCookie, plus: Bool,
        _ body: (DirectoryEntry) -> Bool
    ) throws(VFSError)

    func open(_ node: NodeID, _ flags: OpenFlags) throws(VFSError) -> Handle
    /// Ends an open. An unlinked file goes with its last open and lookup.
    func close(_ node: NodeID, _ handle: Handle)
    /// Reads up to `buffer.count` bytes; fewer only at the end of file. Holes read as zeros.
    func read(_ node: NodeID, _ handle: Handle, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(VFSError) -> Int
    /// - Throws: `EFBIG`, `ENOSPC`, `EROFS`, `EIO`.
    func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags
    ) throws(VFSError) -> Written
    /// As ``write(_:_:at:_:_:)``, and says when the write is as good as done, so that whoever asked for it need not wait.
    /// - Parameter accepted: called once at most, on this thread, when all of `bytes` can fail to be written no more but with
    ///   the whole filesystem, whose writing then ends. Every later call finds them written. `bytes` stay in use until the
    ///   return. A filesystem that can't tell early does not call it.
    func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags, accepted: (Written) -> Void
    ) throws(VFSError) -> Written
    func allocate(_ node: NodeID, _ handle: Handle, _ range: Range<UInt64>, _ mode: AllocationMode) throws(VFSError)
    /// Lets `target` have the bytes of `source` in `range` at `offset` without copying them: as `FICLONERANGE`, the two
    /// share them until one is written. Both are regular files; offsets are of whole blocks, and the range may end with
    /// the source where nothing of the target is behind it.
    /// - Throws: `ENOTSUP` where nothing can be shared, `EINVAL` for other offsets or overlapping ranges, `EISDIR`, `EFBIG`,
    ///   `ENOSPC`.
    func clone(
        _ source: NodeID, _ range: Range<UInt64>, to target: NodeID, at offset: UInt64, _ flags: WriteFlags
    ) throws(VFSError)
    /// - Throws: `ENXIO` at or past the end of file.
    func seek(_ node: NodeID, _ handle: Handle, from offset: UInt64, to target: SeekTarget) throws(VFSError)
        -> UInt64

    /// - Throws: `ENODATA`, `ENOTSUP`.
    func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) -> [UInt8]
    func extendedAttributeNames(of node: NodeID) throws(VFSError) -> [[UInt8]]
    /// - Throws: `EEXIST`, `ENODATA` by `mode`; `ENOSPC`, `ERANGE`, `E2BIG`, `ENOTSUP`.
    func setExtendedAttribute(_ name: [UInt8], of node: NodeID, to value: [UInt8], _ mode: AttributeWriteMode)
        throws(VFSError)
    func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError)

    func statistics() throws(VFSError) -> Statistics
    /// Of the filesystem that holds `node`: differs from ``statistics()`` where several are composed.
    func statistics(of node: NodeID) throws(VFSError) -> Statistics

    /// Orders a commit of `node` (all of the filesystem for `nil`). Durable once the ticket's `wait()` returned.
    /// - Parameter dataOnly: as `fdatasync(2)`: times may stay behind.
    func commit(_ node: NodeID?, dataOnly: Bool) throws(VFSError) -> any DurabilityTicket

    /// Who hears of changes from now on; `nil` for nobody. Fronts set it once.
    func observe(_ observer: (any ChangeObserver)?)
}

extension FileSystem {
    public func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags, accepted: (Written) -> Void
    ) throws(VFSError) -> Written {
        try write(node, handle, at: position, bytes, flags)
    }

    public func allocate(_ node: NodeID, _ handle: Handle, _ range: Range<UInt64>, _ mode: AllocationMode)
        throws(VFSError)
    { throw VFSError(.notSupported) }

    public func clone(
        _ source: NodeID, _ range: Range<UInt64>, to target: NodeID, at offset: UInt64, _ flags: WriteFlags
    ) throws(VFSError) { throw VFSError(.notSupported) }

    public func seek(_ node: NodeID, _ handle: Handle, from offset: UInt64, to target: SeekTarget)
        throws(VFSError) -> UInt64
    { throw VFSError(.noFunction) }

    public func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) -> [UInt8] {
        throw VFSError(.notSupported)
    }
    public func extendedAttributeNames(of node: NodeID) throws(VFSError) -> [[UInt8]] {
        throw VFSError(.notSupported)
    }
    public func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], _ mode: AttributeWriteMode
    ) throws(VFSError) { throw VFSError(.notSupported) }
    public func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) {
        throw VFSError(.notSupported)
    }

    public func statistics(of node: NodeID) throws(VFSError) -> Statistics { try statistics() }

    public func observe(_ observer: (any ChangeObserver)?) {}
}
