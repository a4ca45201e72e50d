import VFS

/// A walk along a path, `path_resolution(7)`: from directory to directory, through symbolic links, up to but not over
/// the root, across mounts.
struct PathWalk {
    /// Linux follows 40 symbolic links in one walk; one more is `ELOOP`.
    static let maximumLinks = 40

    /// The last component, which calls that make or remove names treat themselves.
    enum Last {
        case name(Name)
        case dot
        case dotDot
        /// The path was `/`.
        case root
    }

    let files: Namespace
    let caller: Caller
    let root: NodeReference
    /// The directory reached, and what it was like then.
    private(set) var place: NodeReference
    private(set) var attributes: Attributes
    /// Components to go, the next one last.
    private var rest: [ArraySlice<UInt8>]
    /// The path ends with `/`: it names a directory.
    private(set) var endsWithSlash: Bool
    private var links = 0

    init(_ path: Path, from start: NodeReference, root: NodeReference, by caller: Caller, in files: Namespace)
        throws(VFSError)
    {
        try path.validate()
        self.files = files
        self.caller = caller
        self.root = root
        place = path.isAbsolute ? root : start
        attributes = try files.attributes(place.node)
        rest = path.components.reversed()
        endsWithSlash = path.endsWithSlash
    }

    /// Walks all but the last component; ``place`` is then the directory that has, or will have, the name.
    mutating func toLast() throws(VFSError) -> Last {
        while rest.count > 1, let next = rest.popLast() {
            try step(next, follow: true)
        }
        guard attributes.kind == .directory else { throw VFSError(.notDirectory) }
        guard let last = rest.popLast() else { return .root }
        if last.elementsEqual(".".utf8) { return .dot }
        if last.elementsEqual("..".utf8) { return .dotDot }
        return .name(try Name(last))
    }

    /// Walks to the end.
    mutating func toEnd(follow: Bool) throws(VFSError) {
        while let next = rest.popLast() {
            try step(next, follow: follow || endsWithSlash || !rest.isEmpty)
        }
        if endsWithSlash, attributes.kind != .directory { throw VFSError(.notDirectory) }
    }

    /// Goes on with what a symbolic link in ``place`` points to, before the rest of the path.
    mutating func follow(link node: NodeID) throws(VFSError) {
        links += 1
        guard links <= Self.maximumLinks else { throw VFSError(.tooManySymbolicLinkLevels) }
        let target = Path(try files.readLink(node))
        try target.validate()
        if target.isAbsolute {
            place = root
            attributes = try files.attributes(root.node)
        }
        if rest.isEmpty, target.endsWithSlash { endsWithSlash = true }
        rest.append(contentsOf: target.components.reversed())
    }

    private mutating func step(_ component: ArraySlice<UInt8>, follow: Bool) throws(VFSError) {
        guard attributes.kind == .directory else { throw VFSError(.notDirectory) }
        try files.require(.execute, attributes, by: caller)
        if component.elementsEqual(".".utf8) { return }
        if component.elementsEqual("..".utf8) {
            try up()
            return
        }
        let entry = try files.lookup(Name(component), in: place.node)
        let found = NodeReference(taking: entry.node, of: files)
        if entry.attributes.kind == .symbolicLink, follow {
            try self.follow(link: found.node)
        } else {
            place = found
            attributes = entry.attributes
        }
    }

    private mutating func up() throws(VFSError) {
        guard place.node != root.node, place.node != files.root else { return }
        let parent = try files.parent(of: place.node)
        attributes = try files.attributes(parent)
        place = NodeReference(parent: parent, of: place)
    }
}

extension FileContext {
    /// A walk that starts where `base` says.
    /// - Throws: `EBADF`; `ENOTDIR` for a relative path from what is no directory.
    func startWalk(_ path: Path, at base: Descriptor) throws(VFSError) -> PathWalk {
        let (root, current, caller) = state.withLock { ($0.root, $0.current, $0.caller) }
        var start = current
        if base != .currentDirectory, !path.isAbsolute {
            let file = try file(base)
            guard file.kind == .directory else { throw VFSError(.notDirectory) }
            start = file.reference
        }
        return try PathWalk(path, from: start, root: root, by: caller, in: namespace)
    }

    /// The file that a path names.
    /// - Parameter follow: whether a symbolic link at the end stands for its target.
    func walk(_ path: Path, at base: Descriptor, follow: Bool) throws(VFSError)
        -> (reference: NodeReference, attributes: Attributes)
    {
        var walk = try startWalk(path, at: base)
        try walk.toEnd(follow: follow)
        return (walk.place, walk.attributes)
    }
}
