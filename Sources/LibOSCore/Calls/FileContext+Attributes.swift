public import VFS

extension FileContext {
    /// `fstatat(2)`. A symbolic link at the end stands for its target if `follow` is set.
    /// - Throws: as a path walk.
    public func stat(_ path: Path, follow: Bool = true, at base: Descriptor = .currentDirectory)
        throws(VFSError) -> Attributes
    {
        try walk(path, at: base, follow: follow).attributes
    }

    public func lstat(_ path: Path) throws(VFSError) -> Attributes { try stat(path, follow: false) }

    /// - Throws: `EBADF`.
    public func fstat(_ descriptor: Descriptor) throws(VFSError) -> Attributes {
        try namespace.attributes(file(descriptor).node)
    }

    /// Whether the caller may; `access` empty asks for existence only.
    /// - Throws: as a path walk; `EACCES`, `EROFS`.
    public func access(
        _ path: Path, _ access: Access, follow: Bool = true, at base: Descriptor = .currentDirectory
    ) throws(VFSError) {
        let found = try walk(path, at: base, follow: follow)
        if access.contains(.write), [.regular, .directory, .symbolicLink].contains(found.attributes.kind),
            try namespace.traits(of: found.reference.node).readOnly
        {
            throw VFSError(.readOnlyFileSystem)
        }
        try namespace.require(access, found.attributes, by: caller)
    }

    /// - Throws: as a path walk; `EPERM` for another's file, `ENOTSUP` for a symbolic link, `EROFS`.
    public func chmod(
        _ path: Path, _ permissions: UInt16, follow: Bool = true, at base: Descriptor = .currentDirectory
    ) throws(VFSError) {
        let found = try walk(path, at: base, follow: follow)
        try chmod(found.reference.node, found.attributes, permissions)
    }

    /// - Throws: `EBADF`; as ``chmod(_:_:follow:at:)``.
    public func fchmod(_ descriptor: Descriptor, _ permissions: UInt16) throws(VFSError) {
        let file = try file(descriptor)
        _ = try file.opened()
        try chmod(file.node, namespace.attributes(file.node), permissions)
    }

    private func chmod(_ node: NodeID, _ file: Attributes, _ permissions: UInt16) throws(VFSError) {
        let caller = caller
        guard file.kind != .symbolicLink else { throw VFSError(.notSupported) }
        guard caller.owns(file) else { throw VFSError(.notPermitted) }
        var change = AttributeChange()
        change.permissions = permissions & 0o7777
        // chmod(2): outsiders of the file's group cannot make set-group-ID files of it.
        if !caller.isPrivileged, !caller.isMember(of: file.group) { change.permissions = permissions & 0o5777 }
        _ = try namespace.setAttributes(node, change, by: caller)
    }

    /// Changes owner or group; `nil` leaves one. Files other than directories lose set-user-ID and set-group-ID.
    /// - Throws: as a path walk; `EPERM`, `EROFS`.
    public func chown(
        _ path: Path, owner: UInt32?, group: UInt32?, follow: Bool = true, at base: Descriptor = .currentDirectory
    ) throws(VFSError) {
        let found = try walk(path, at: base, follow: follow)
        try chown(found.reference.node, found.attributes, owner, group)
    }

    /// - Throws: `EBADF`; as ``chown(_:owner:group:follow:at:)``.
    public func fchown(_ descriptor: Descriptor, owner: UInt32?, group: UInt32?) throws(VFSError) {
        let file = try file(descriptor)
        _ = try file.opened()
        try chown(file.node, namespace.attributes(file.node), owner, group)
    }

    private func chown(_ node: NodeID, _ file: Attributes, _ owner: UInt32?, _ group: UInt32?) throws(VFSError) {
        let caller = caller
        if !caller.isPrivileged {
            if let owner, owner != file.owner || file.owner != caller.user { throw VFSError(.notPermitted) }
            if let group {
                guard file.owner == caller.user, group == file.group || caller.isMember(of: group) else {
                    throw VFSError(.notPermitted)
                }
            }
        }
        var change = AttributeChange()
        change.owner = owner
        change.group = group
        change.clearsPrivileges = file.kind != .directory
        _ = try namespace.setAttributes(node, change, by: caller)
    }

    /// Sets times; `nil` leaves one.
    /// - Throws: as a path walk; `EPERM` for another's file, `EACCES` for "now" on one the caller may not write;
    ///   `EINVAL` for nanoseconds out of range, `EROFS`.
    public func utimens(
        _ path: Path, access: AttributeChange.Time?, modification: AttributeChange.Time?, follow: Bool = true,
        at base: Descriptor = .currentDirectory
    ) throws(VFSError) {
        let found = try walk(path, at: base, follow: follow)
        try utimens(found.reference.node, found.attributes, access, modification)
    }

    /// - Throws: `EBADF`; as ``utimens(_:access:modification:follow:at:)``.
    public func futimens(
        _ descriptor: Descriptor, access: AttributeChange.Time?, modification: AttributeChange.Time?
    ) throws(VFSError) {
        let file = try file(descriptor)
        _ = try file.opened()
        try utimens(file.node, namespace.attributes(file.node), access, modification)
    }

    private func utimens(
        _ node: NodeID, _ file: Attributes, _ access: AttributeChange.Time?, _ modification: AttributeChange.Time?
    ) throws(VFSError) {
        let caller = caller
        for case .exact(let time) in [access, modification] where time.nanoseconds >= 1_000_000_000 {
            throw VFSError(.invalidArgument)
        }
        if access == nil, modification == nil { return }
        if !caller.owns(file) {
            guard access == .now, modification == .now else { throw VFSError(.notPermitted) }
            try namespace.require(.write, file, by: caller)
        }
        var change = AttributeChange()
        change.accessTime = access
        change.modificationTime = modification
        _ = try namespace.setAttributes(node, change, by: caller)
    }

    /// - Throws: as a path walk; `EISDIR`, `EINVAL` for a negative size or what is no regular file, `EACCES`, `EFBIG`,
    ///   `EROFS`.
    public func truncate(_ path: Path, to size: Int64) throws(VFSError) {
        guard size >= 0 else { throw VFSError(.invalidArgument) }
        let found = try walk(path, at: .currentDirectory, follow: true)
        guard found.attributes.kind != .directory else { throw VFSError(.isDirectory) }
        guard found.attributes.kind == .regular else { throw VFSError(.invalidArgument) }
        try namespace.require(.write, found.attributes, by: caller)
        try resize(found.reference.node, to: size)
    }

    /// - Throws: `EBADF`, `EINVAL` for a negative size or a descriptor that cannot write, `EFBIG`.
    public func ftruncate(_ descriptor: Descriptor, to size: Int64) throws(VFSError) {
        let file = try file(descriptor)
        _ = try file.opened()
        guard size >= 0, file.options.writes, file.kind == .regular else { throw VFSError(.invalidArgument) }
        try resize(file.node, to: size)
    }

    private func resize(_ node: NodeID, to size: Int64) throws(VFSError) {
        var change = AttributeChange()
        change.size = UInt64(size)
        change.clearsPrivileges = !caller.isPrivileged
        _ = try namespace.setAttributes(node, change, by: caller)
    }

    /// Of the filesystem that holds the file.
    public func statfs(_ path: Path) throws(VFSError) -> (statistics: Statistics, traits: Traits) {
        let node = try walk(path, at: .currentDirectory, follow: true).reference.node
        return (try namespace.statistics(of: node), try namespace.traits(of: node))
    }

    /// - Throws: `EBADF`.
    public func fstatfs(_ descriptor: Descriptor) throws(VFSError) -> (statistics: Statistics, traits: Traits) {
        let node = try file(descriptor).node
        return (try namespace.statistics(of: node), try namespace.traits(of: node))
    }
}
