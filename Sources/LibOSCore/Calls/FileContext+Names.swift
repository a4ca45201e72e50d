public import VFS

extension FileContext {
    /// The directory of a path's last component, and the name.
    private struct Parent {
        var walk: PathWalk
        var name: Name
        var node: NodeID { walk.place.node }
        var attributes: Attributes { walk.attributes }
    }

    /// Walks to where a name is to be made.
    /// - Throws: `EEXIST` for a path that ends in `.`, `..` or `/` alone, or a name that is taken; `ENOENT` for a slash
    ///   behind a name that is not to be a directory; `EACCES`.
    private func placeForNew(_ path: Path, at base: Descriptor, directory: Bool = false) throws(VFSError) -> Parent
    {
        var walk = try startWalk(path, at: base)
        guard case .name(let name) = try walk.toLast() else { throw VFSError(.fileExists) }
        try namespace.require(.execute, walk.attributes, by: caller)
        if let entry = try lookupIfPresent(name, in: walk.place.node) {
            namespace.forget(entry.node, count: 1)
            throw VFSError(.fileExists)
        }
        if walk.endsWithSlash, !directory { throw VFSError(.noSuchFileOrDirectory) }
        try namespace.require([.write, .execute], walk.attributes, by: caller)
        return Parent(walk: walk, name: name)
    }

    private func makeNode(_ new: NewNode, _ path: Path, at base: Descriptor) throws(VFSError) {
        let parent = try placeForNew(path, at: base, directory: new.kind == .directory)
        let made = try namespace.make(new, named: parent.name, in: parent.node, by: caller)
        namespace.forget(made.node, count: 1)
    }

    /// - Throws: as a path walk; `EEXIST`, `EACCES`, `ENOSPC`, `EMLINK`, `EROFS`.
    public func mkdir(_ path: Path, permissions: UInt16, at base: Descriptor = .currentDirectory) throws(VFSError) {
        try makeNode(NewNode(kind: .directory, permissions: permissions & 0o1777, umask: umask), path, at: base)
    }

    /// Makes a regular file, FIFO, socket or device node.
    /// - Throws: as ``mkdir(_:permissions:at:)``; `EPERM` for device nodes by others than user 0, and for directories;
    ///   `EINVAL` for symbolic links.
    public func mknod(
        _ path: Path, _ kind: NodeKind, permissions: UInt16, device: UInt64 = 0,
        at base: Descriptor = .currentDirectory
    ) throws(VFSError) {
        switch kind {
        case .directory: throw VFSError(.notPermitted)
        case .symbolicLink: throw VFSError(.invalidArgument)
        case .characterDevice, .blockDevice: guard caller.isPrivileged else { throw VFSError(.notPermitted) }
        case .regular, .fifo, .socket: break
        }
        try makeNode(
            NewNode(kind: kind, permissions: permissions & 0o7777, umask: umask, device: device), path, at: base)
    }

    /// Makes a symbolic link at `path` that points to `target`, whether that exists or not.
    /// - Throws: as ``mkdir(_:permissions:at:)``; `ENOENT` for an empty target.
    public func symlink(_ target: Path, _ path: Path, at base: Descriptor = .currentDirectory) throws(VFSError) {
        try target.validate()
        try makeNode(NewNode(kind: .symbolicLink, permissions: 0o777, target: target.bytes), path, at: base)
    }

    /// - Throws: as a path walk; `EINVAL` for what is no symbolic link.
    public func readlink(_ path: Path, at base: Descriptor = .currentDirectory) throws(VFSError) -> Path {
        let found = try walk(path, at: base, follow: false)
        return Path(try namespace.readLink(found.reference.node))
    }

    /// Gives a file another name. A symbolic link at the end of `old` is linked itself unless `follow` is set.
    /// - Throws: as a path walk; `EEXIST`, `EXDEV`, `EPERM` for directories, `EMLINK`, `ENOSPC`, `EROFS`.
    public func link(
        _ old: Path, at oldBase: Descriptor = .currentDirectory, _ new: Path,
        at newBase: Descriptor = .currentDirectory, follow: Bool = false
    ) throws(VFSError) {
        let found = try walk(old, at: oldBase, follow: follow)
        try link(found.reference, new, at: newBase)
    }

    /// Gives an open file a name, one made with ``OpenOptions/temporary`` its first (`AT_EMPTY_PATH`).
    public func link(_ descriptor: Descriptor, _ new: Path, at newBase: Descriptor = .currentDirectory)
        throws(VFSError)
    {
        try link(file(descriptor).reference, new, at: newBase)
    }

    private func link(_ file: NodeReference, _ new: Path, at base: Descriptor) throws(VFSError) {
        let parent = try placeForNew(new, at: base)
        _ = try namespace.link(file.node, as: parent.name, in: parent.node)
        namespace.forget(file.node, count: 1)
    }

    /// - Throws: as a path walk; `EISDIR`, `ENOTDIR` for a slash behind another kind, `EACCES`, `EPERM` for the sticky
    ///   bit, `EBUSY`, `EROFS`.
    public func unlink(_ path: Path, at base: Descriptor = .currentDirectory) throws(VFSError) {
        var walk = try startWalk(path, at: base)
        guard case .name(let name) = try walk.toLast() else { throw VFSError(.isDirectory) }
        let found = try existing(name, walk)
        if walk.endsWithSlash { throw VFSError(found.kind == .directory ? .isDirectory : .notDirectory) }
        try namespace.requireRemoval(of: found, from: walk.attributes, by: caller)
        try namespace.remove(name, in: walk.place.node, .nonDirectory)
    }

    /// - Throws: as a path walk; `ENOTDIR`, `ENOTEMPTY`, `EINVAL` for `.`, `EBUSY` for `/` and mount points, `EACCES`,
    ///   `EPERM` for the sticky bit, `EROFS`.
    public func rmdir(_ path: Path, at base: Descriptor = .currentDirectory) throws(VFSError) {
        var walk = try startWalk(path, at: base)
        switch try walk.toLast() {
        case .dot: throw VFSError(.invalidArgument)
        case .dotDot: throw VFSError(.directoryNotEmpty)
        case .root: throw VFSError(.resourceBusy)
        case .name(let name):
            let found = try existing(name, walk)
            try namespace.requireRemoval(of: found, from: walk.attributes, by: caller)
            try namespace.remove(name, in: walk.place.node, .directory)
        }
    }

    /// What `name` in the directory reached is; its lookup is given back.
    private func existing(_ name: Name, _ walk: PathWalk) throws(VFSError) -> Attributes {
        try namespace.require(.execute, walk.attributes, by: caller)
        let entry = try namespace.lookup(name, in: walk.place.node)
        namespace.forget(entry.node, count: 1)
        return entry.attributes
    }

    /// `renameat2(2)`.
    /// - Throws: as a path walk; `EXDEV`, `EBUSY` for `.`, `..`, `/` and mount points, `EEXIST`, `EISDIR`, `ENOTDIR`,
    ///   `ENOTEMPTY`, `EINVAL` for a directory moved below itself, `EACCES`, `EPERM` for the sticky bit, `EROFS`.
    public func rename(
        _ old: Path, at oldBase: Descriptor = .currentDirectory, _ new: Path,
        at newBase: Descriptor = .currentDirectory, _ flags: RenameFlags = []
    ) throws(VFSError) {
        guard flags != [.noReplace, .exchange] else { throw VFSError(.invalidArgument) }
        var source = try startWalk(old, at: oldBase)
        let oldLast = try source.toLast()
        var destination = try startWalk(new, at: newBase)
        let newLast = try destination.toLast()
        guard Mount.index(of: source.place.node) == Mount.index(of: destination.place.node) else {
            throw VFSError(.improperLink)
        }
        guard case .name(let oldName) = oldLast else { throw VFSError(.resourceBusy) }
        guard case .name(let newName) = newLast else {
            throw VFSError(flags.contains(.noReplace) ? .fileExists : .resourceBusy)
        }
        let moved = try existing(oldName, source)
        try namespace.require(.execute, destination.attributes, by: caller)
        let target = try lookupIfPresent(newName, in: destination.place.node)
        if let target { namespace.forget(target.node, count: 1) }
        if target != nil, flags.contains(.noReplace) { throw VFSError(.fileExists) }
        if target == nil, flags.contains(.exchange) { throw VFSError(.noSuchFileOrDirectory) }
        if moved.kind != .directory {
            if source.endsWithSlash { throw VFSError(.notDirectory) }
            if destination.endsWithSlash, !flags.contains(.exchange) { throw VFSError(.notDirectory) }
        }
        if flags.contains(.exchange), destination.endsWithSlash, target?.attributes.kind != .directory {
            throw VFSError(.notDirectory)
        }
        try requireMove(moved, target?.attributes, source.attributes, destination.attributes, flags)
        try namespace.rename(oldName, in: source.place.node, to: newName, in: destination.place.node, flags)
    }

    /// The rights that a rename needs: to take both names away, and to change `..` of a directory that changes place.
    private func requireMove(
        _ moved: Attributes, _ target: Attributes?, _ source: Attributes, _ destination: Attributes,
        _ flags: RenameFlags
    ) throws(VFSError) {
        try namespace.requireRemoval(of: moved, from: source, by: caller)
        if let target {
            try namespace.requireRemoval(of: target, from: destination, by: caller)
        } else {
            try namespace.require([.write, .execute], destination, by: caller)
        }
        guard source.node != destination.node else { return }
        if moved.kind == .directory { try namespace.require(.write, moved, by: caller) }
        if flags.contains(.exchange), let target, target.kind == .directory {
            try namespace.require(.write, target, by: caller)
        }
    }
}
