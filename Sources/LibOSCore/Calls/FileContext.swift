import Synchronization
public import VFS

/// One user of a ``Namespace``, as a process is of Linux: who asks, where relative paths start, which files are open.
///
/// The calls are Linux's, by name and by error number; permissions are checked as Linux does, user 0 having every
/// capability. Every path call takes a directory descriptor to start from, as the `…at` calls do. Contexts of one
/// namespace see each other's changes at once. Thread-safe.
///
///     let context = FileContext(namespace)
///     let file = try context.open("/notes", [.writeOnly, .create], permissions: 0o600)
///     _ = try context.write(file, Array("remember".utf8))
///     try context.fsync(file)              // durable from here on
///     try context.close(file)
public final class FileContext: Sendable {
    public let namespace: Namespace
    let state: Mutex<State>

    struct State {
        var caller: Caller
        var umask: UInt16
        var root: NodeReference
        var current: NodeReference
        var files: [OpenFile?] = []
        var descriptorLimit: Int
    }

    /// - Parameters:
    ///   - caller: whose rights count.
    ///   - umask: permission bits that new files do not get.
    ///   - descriptorLimit: how many files may be open at once, as `RLIMIT_NOFILE`.
    public init(_ namespace: Namespace, caller: Caller = .root, umask: UInt16 = 0o022, descriptorLimit: Int = 1024)
    {
        self.namespace = namespace
        // The root is never forgotten, so a reference to it needs no lookup.
        let root = NodeReference(taking: namespace.root, of: namespace)
        state = Mutex(
            State(
                caller: caller, umask: umask & 0o777, root: root, current: root, descriptorLimit: descriptorLimit))
    }

    private init(_ namespace: Namespace, _ state: State) {
        self.namespace = namespace
        self.state = Mutex(state)
    }

    deinit { namespace.locks.releaseAll(by: LockOwner(self)) }

    /// A context that starts as this one is, sharing its open files but no byte-range locks, as after `fork(2)`.
    public func duplicate() -> FileContext { FileContext(namespace, state.withLock { $0 }) }

    public var caller: Caller {
        get { state.withLock { $0.caller } }
        set { state.withLock { $0.caller = newValue } }
    }

    /// Sets the permission bits that new files do not get; what they were.
    @discardableResult
    public func umask(_ mask: UInt16) -> UInt16 {
        state.withLock { state in
            defer { state.umask = mask & 0o777 }
            return state.umask
        }
    }

    var umask: UInt16 { state.withLock { $0.umask } }

    /// - Throws: as a path walk; `ENOTDIR`, `EACCES` without the right to search it.
    public func chdir(_ path: Path, at base: Descriptor = .currentDirectory) throws(VFSError) {
        let found = try searchable(path, at: base)
        state.withLock { $0.current = found }
    }

    /// - Throws: `EBADF`, `ENOTDIR`, `EACCES`.
    public func fchdir(_ descriptor: Descriptor) throws(VFSError) {
        let file = try file(descriptor)
        guard file.kind == .directory else { throw VFSError(.notDirectory) }
        try namespace.require(.execute, namespace.attributes(file.node), by: caller)
        state.withLock { $0.current = file.reference }
    }

    /// Makes `path` what `/` and `..` stop at. The current directory and open files stay as they are.
    /// - Throws: `EPERM` for all but user 0; as ``chdir(_:at:)``.
    public func chroot(_ path: Path) throws(VFSError) {
        let found = try searchable(path, at: .currentDirectory)
        guard caller.isPrivileged else { throw VFSError(.notPermitted) }
        state.withLock { $0.root = found }
    }

    private func searchable(_ path: Path, at base: Descriptor) throws(VFSError) -> NodeReference {
        let found = try walk(path, at: base, follow: true)
        guard found.attributes.kind == .directory else { throw VFSError(.notDirectory) }
        try namespace.require(.execute, found.attributes, by: caller)
        return found.reference
    }

    /// The absolute path of the current directory.
    /// - Throws: `ENOENT` when it was removed or lies outside the root, `ENAMETOOLONG`.
    public func getcwd() throws(VFSError) -> Path {
        let (root, current) = state.withLock { ($0.root, $0.current) }
        var reversed: [Name] = []
        var bytes = 0
        var place = current
        while place.node != root.node {
            guard place.node != namespace.root else { throw VFSError(.noSuchFileOrDirectory) }
            let parent = NodeReference(parent: try namespace.parent(of: place.node), of: place)
            let name = try name(of: place.node, in: parent.node)
            bytes += name.bytes.count + 1
            // Also ends a walk in circles, should a host move directories meanwhile.
            guard bytes < Path.maximumBytes else { throw VFSError(.fileNameTooLong) }
            reversed.append(name)
            place = parent
        }
        if reversed.isEmpty { return "/" }
        return Path(reversed.reversed().flatMap { [UInt8(ascii: "/")] + $0.bytes })
    }

    private func name(of child: NodeID, in directory: NodeID) throws(VFSError) -> Name {
        let handle = try namespace.open(directory, [.read, .directory])
        defer { namespace.close(directory, handle) }
        // Listings may show a number of their own for what is not looked up, so ask again with attributes.
        for plus in [false, true] {
            var found: Name?
            var counted: [NodeID] = []
            defer { for node in counted { namespace.forget(node, count: 1) } }
            try namespace.readDirectory(directory, handle, after: .start, plus: plus) { entry in
                if entry.node == child, entry.kind == .directory {
                    found = entry.name
                    return false
                }
                if plus { counted.append(entry.node) }
                return true
            }
            if let found { return found }
        }
        throw VFSError(.noSuchFileOrDirectory)
    }
}
