public import VFS

/// A lock on bytes of a file, as `struct flock` of `fcntl(2)` names it from the start of the file.
public struct FileLock: Sendable, Hashable {
    public var kind: LockKind
    /// In bytes.
    public var start: Int64
    /// In bytes; 0 reaches to the end of all files, a negative length lies before the start.
    public var length: Int64
    public init(_ kind: LockKind, start: Int64 = 0, length: Int64 = 0) {
        self.kind = kind
        self.start = start
        self.length = length
    }

    /// - Throws: `EINVAL` for bytes before the start of the file, `EOVERFLOW`.
    fileprivate func range() throws(VFSError) -> Range<UInt64> {
        guard start >= 0 else { throw VFSError(.invalidArgument) }
        let end = UInt64(Int64.max) + 1
        if length == 0 { return UInt64(start)..<end }
        let (other, overflow) = start.addingReportingOverflow(length)
        guard !overflow else { throw VFSError(.overflow) }
        guard other >= 0 else { throw VFSError(.invalidArgument) }
        return length > 0 ? UInt64(start)..<UInt64(other) : UInt64(other)..<UInt64(start)
    }
}

/// Advisory locks: they bind those who ask for them. They hold among the contexts of one namespace, on every filesystem.
extension FileContext {
    private static let wholeFile: Range<UInt64> = 0..<UInt64.max

    /// `flock(2)`: locks the file for this open file; `nil` unlocks. Another kind replaces the one held. Goes with the
    /// last descriptor of the open file.
    /// - Parameter waits: block the thread until the lock is free.
    /// - Throws: `EBADF`, `EWOULDBLOCK`.
    public func flock(_ descriptor: Descriptor, _ kind: LockKind?, waits: Bool = true) throws(VFSError) {
        let file = try file(descriptor)
        _ = try file.opened()
        let owner = LockOwner(file)
        guard let kind else {
            namespace.locks.release(.whole, file.node, by: owner)
            return
        }
        do throws(VFSError) {
            try namespace.locks.lock(.whole, file.node, kind, Self.wholeFile, by: owner, waits: false)
        } catch {
            // flock(2): a conversion is not atomic; the old lock goes first.
            namespace.locks.release(.whole, file.node, by: owner)
            guard waits else { throw error }
            try namespace.locks.lock(.whole, file.node, kind, Self.wholeFile, by: owner, waits: true)
        }
    }

    /// `F_SETLK` and `F_SETLKW` of `fcntl(2)`: locks bytes for this context. Closing any descriptor of the file gives all
    /// of the context's locks on it back.
    /// - Parameter waits: block the thread until the bytes are free.
    /// - Throws: `EBADF`, also for a shared lock without reading or an exclusive one without writing; `EAGAIN`, `EDEADLK`,
    ///   `EINVAL`, `EOVERFLOW`.
    public func lock(_ descriptor: Descriptor, _ lock: FileLock, waits: Bool = false) throws(VFSError) {
        let file = try file(descriptor)
        _ = try file.opened()
        guard lock.kind == .shared ? file.options.reads : file.options.writes else {
            throw VFSError(.badFileDescriptor)
        }
        try namespace.locks.lock(.range, file.node, lock.kind, lock.range(), by: LockOwner(self), waits: waits)
    }

    /// Gives bytes back.
    /// - Throws: `EBADF`, `EINVAL`, `EOVERFLOW`.
    public func unlock(_ descriptor: Descriptor, start: Int64 = 0, length: Int64 = 0) throws(VFSError) {
        let file = try file(descriptor)
        _ = try file.opened()
        let range = try FileLock(.shared, start: start, length: length).range()
        namespace.locks.unlock(.range, file.node, range, by: LockOwner(self))
    }

    /// `F_GETLK`: the first lock of another context in the way of `lock`; `nil` when it could be had.
    /// - Throws: `EBADF`, `EINVAL`, `EOVERFLOW`.
    public func lockInTheWay(_ descriptor: Descriptor, of lock: FileLock) throws(VFSError) -> FileLock? {
        let file = try file(descriptor)
        _ = try file.opened()
        let range = try lock.range()
        guard let found = namespace.locks.conflict(file.node, lock.kind, range, by: LockOwner(self)) else {
            return nil
        }
        let reachesEnd = found.range.upperBound > UInt64(Int64.max)
        return FileLock(
            found.kind, start: Int64(found.range.lowerBound), length: reachesEnd ? 0 : Int64(found.range.count))
    }
}
