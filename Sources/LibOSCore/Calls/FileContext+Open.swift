import Synchronization
public import VFS

extension FileContext {
    /// `openat(2)`: the lowest free descriptor for the file.
    /// - Parameters:
    ///   - permissions: of a file that ``OpenOptions/create`` or ``OpenOptions/temporary`` makes, before the umask.
    /// - Throws: as a path walk (`ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`, `EBADF`); `EEXIST`, `EISDIR`,
    ///   `EINVAL`, `EMFILE`, `EPERM` for `noAccessTime` on another's file, `EROFS`; `ENXIO` for FIFOs, sockets and
    ///   devices, which only have names here.
    public func open(
        _ path: Path, _ options: OpenOptions = .readOnly, permissions: UInt16 = 0,
        at base: Descriptor = .currentDirectory
    ) throws(VFSError) -> Descriptor {
        guard options.isValid else { throw VFSError(.invalidArgument) }
        let file: OpenFile
        if options.contains(.path) {
            file = try openPath(path, options, at: base)
        } else if options.contains(.temporary) {
            file = try openTemporary(path, options, permissions, at: base)
        } else if options.contains(.create) {
            file = try openCreating(path, options, permissions, at: base)
        } else {
            let found = try walk(path, at: base, follow: !options.contains(.noFollow))
            file = try openExisting(found.reference, found.attributes, options)
        }
        return try install(file)
    }

    private func openPath(_ path: Path, _ options: OpenOptions, at base: Descriptor) throws(VFSError) -> OpenFile {
        let found = try walk(path, at: base, follow: !options.contains(.noFollow))
        if options.contains(.directory), found.attributes.kind != .directory { throw VFSError(.notDirectory) }
        return OpenFile(found.reference, found.attributes.kind, options, nil, in: namespace)
    }

    private func openTemporary(_ path: Path, _ options: OpenOptions, _ permissions: UInt16, at base: Descriptor)
        throws(VFSError) -> OpenFile
    {
        guard options.writes, !options.contains(.create) else { throw VFSError(.invalidArgument) }
        let found = try walk(path, at: base, follow: true)
        guard found.attributes.kind == .directory else { throw VFSError(.notDirectory) }
        try namespace.require([.write, .execute], found.attributes, by: caller)
        let new = NewNode(kind: .regular, permissions: permissions & 0o7777, umask: umask)
        let entry = try namespace.make(new, named: nil, in: found.reference.node, by: caller)
        return try openMade(NodeReference(taking: entry.node, of: namespace), options)
    }

    private func openCreating(_ path: Path, _ options: OpenOptions, _ permissions: UInt16, at base: Descriptor)
        throws(VFSError) -> OpenFile
    {
        guard !options.contains(.directory) else { throw VFSError(.invalidArgument) }
        var walk = try startWalk(path, at: base)
        while true {
            let last = try walk.toLast()
            guard case .name(let name) = last, !walk.endsWithSlash else { throw VFSError(.isDirectory) }
            try namespace.require(.execute, walk.attributes, by: caller)
            guard let entry = try lookupIfPresent(name, in: walk.place.node) else {
                do throws(VFSError) {
                    try namespace.require([.write, .execute], walk.attributes, by: caller)
                    let new = NewNode(kind: .regular, permissions: permissions & 0o7777, umask: umask)
                    let made = try namespace.make(new, named: name, in: walk.place.node, by: caller)
                    return try openMade(NodeReference(taking: made.node, of: namespace), options)
                } catch {
                    // Somebody made it between the two calls.
                    guard error.errno == .fileExists, !options.contains(.exclusive) else { throw error }
                    let entry = try namespace.lookup(name, in: walk.place.node)
                    let found = NodeReference(taking: entry.node, of: namespace)
                    return try openExisting(found, entry.attributes, options)
                }
            }
            let found = NodeReference(taking: entry.node, of: namespace)
            guard !options.contains(.exclusive) else { throw VFSError(.fileExists) }
            guard entry.attributes.kind == .symbolicLink, !options.contains(.noFollow) else {
                return try openExisting(found, entry.attributes, options)
            }
            try walk.follow(link: found.node)
        }
    }

    func lookupIfPresent(_ name: Name, in directory: NodeID) throws(VFSError) -> Entry? {
        do throws(VFSError) {
            return try namespace.lookup(name, in: directory)
        } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            return nil
        }
    }

    /// Opens a file just made: its permissions count from the next open on.
    private func openMade(_ reference: NodeReference, _ options: OpenOptions) throws(VFSError) -> OpenFile {
        let handle = try namespace.open(reference.node, options.openFlags.subtracting(.directory))
        return OpenFile(reference, .regular, options, handle, in: namespace)
    }

    private func openExisting(_ reference: NodeReference, _ attributes: Attributes, _ options: OpenOptions)
        throws(VFSError) -> OpenFile
    {
        let caller = caller
        switch attributes.kind {
        case .symbolicLink: throw VFSError(.tooManySymbolicLinkLevels)
        case .directory:
            let changes = options.writes || options.contains(.truncate) || options.contains(.create)
            guard !changes else { throw VFSError(.isDirectory) }
        default: guard !options.contains(.directory) else { throw VFSError(.notDirectory) }
        }
        var access: Access = options.reads ? .read : []
        if options.writes || options.contains(.truncate) { access.insert(.write) }
        try namespace.require(access, attributes, by: caller)
        if options.contains(.noAccessTime), !caller.owns(attributes) { throw VFSError(.notPermitted) }
        let handle = try namespace.open(reference.node, options.openFlags)
        let file = OpenFile(reference, attributes.kind, options, handle, in: namespace)
        if options.contains(.truncate), attributes.kind == .regular {
            var change = AttributeChange()
            change.size = 0
            change.clearsPrivileges = !caller.isPrivileged
            _ = try namespace.setAttributes(reference.node, change, by: caller)
        }
        return file
    }
}

extension OpenOptions {
    /// What of it a filesystem needs to know. Truncation is a call of its own, since it may drop privileges.
    fileprivate var openFlags: OpenFlags {
        var flags: OpenFlags = []
        if reads { flags.insert(.read) }
        if writes { flags.insert(.write) }
        if contains(.append) { flags.insert(.append) }
        if contains(.noAccessTime) { flags.insert(.noAccessTime) }
        if contains(.directory) { flags.insert(.directory) }
        return flags
    }
}
