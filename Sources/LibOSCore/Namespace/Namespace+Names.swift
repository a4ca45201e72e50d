public import VFS

extension Namespace {
    public func lookup(_ name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        let (mount, inner) = try resolve(directory)
        return try enter(mount.files.lookup(name, in: inner), of: mount)
    }

    /// A looked-up entry of `mount` in the namespace's numbers; where it is a mount point, what is mounted there.
    private func enter(_ entry: Entry, of mount: Mount) throws(VFSError) -> Entry {
        do throws(VFSError) {
            let node = try mount.outward(entry.node)
            guard let top = mounts.top(at: node) else {
                return Entry(node: node, attributes: try mount.outward(entry.attributes))
            }
            let attributes = try top.outward(top.files.attributes(top.files.root))
            mount.files.forget(entry.node, count: 1)
            return Entry(node: attributes.node, attributes: attributes)
        } catch {
            mount.files.forget(entry.node, count: 1)
            throw error
        }
    }

    /// The directory that holds `node`: for a mounted root, the one that holds its mount point.
    public func parent(of node: NodeID) throws(VFSError) -> NodeID {
        let (mount, inner) = try resolve(node)
        if inner == mount.files.root {
            guard let covered = mount.covers else { return root }
            return try parent(of: covered)
        }
        let parent = try mount.outward(mount.files.parent(of: inner))
        guard let top = mounts.top(at: parent) else { return parent }
        return try top.outward(top.files.root)
    }

    public func forget(_ node: NodeID, count: UInt64) {
        do throws(VFSError) {
            let (mount, inner) = try resolve(node)
            // Roots are not counted, and a mount point's own count belongs to its mount.
            if inner != mount.files.root { mount.files.forget(inner, count: count) }
        } catch {
            // Of a mount that is gone: its filesystem went with all counts.
        }
    }

    public func make(_ new: NewNode, named name: Name?, in directory: NodeID, by caller: Caller)
        throws(VFSError) -> Entry
    {
        let (mount, inner) = try resolve(directory)
        try mount.requireWritable()
        return try enter(mount.files.make(new, named: name, in: inner, by: caller), of: mount)
    }

    /// - Throws: `EXDEV` into another mount.
    public func link(_ node: NodeID, as name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        let (mount, inner) = try resolve(directory)
        let linked = try resolve(node)
        guard linked.mount === mount else { throw VFSError(.improperLink) }
        try mount.requireWritable()
        return try enter(mount.files.link(linked.node, as: name, in: inner), of: mount)
    }

    /// - Throws: `EBUSY` for a mount point.
    public func remove(_ name: Name, in directory: NodeID, _ kind: RemovalKind) throws(VFSError) {
        try mounting.shared { () throws(VFSError) in
            let (mount, inner) = try resolve(directory)
            try mount.requireWritable()
            try requireNoMountPoint(name, in: inner, of: mount)
            try mount.files.remove(name, in: inner, kind)
        }
    }

    /// - Throws: `EXDEV` into another mount, `EBUSY` for a mount point on either side.
    public func rename(
        _ name: Name, in directory: NodeID, to newName: Name, in newDirectory: NodeID, _ flags: RenameFlags
    ) throws(VFSError) {
        try mounting.shared { () throws(VFSError) in
            let (mount, inner) = try resolve(directory)
            let destination = try resolve(newDirectory)
            guard destination.mount === mount else { throw VFSError(.improperLink) }
            try mount.requireWritable()
            try requireNoMountPoint(name, in: inner, of: mount)
            try requireNoMountPoint(newName, in: destination.node, of: mount)
            try mount.files.rename(name, in: inner, to: newName, in: destination.node, flags)
        }
    }

    private func requireNoMountPoint(_ name: Name, in directory: NodeID, of mount: Mount) throws(VFSError) {
        let table = mounts
        let carries = table.covered.keys.contains { Mount.index(of: $0) == mount.index }
        guard carries else { return }
        let entry: Entry
        do throws(VFSError) {
            entry = try mount.files.lookup(name, in: directory)
        } catch {
            // The call itself says what is wrong with the name.
            return
        }
        defer { mount.files.forget(entry.node, count: 1) }
        if table.covered[try mount.outward(entry.node)] != nil { throw VFSError(.resourceBusy) }
    }

    public func readLink(_ node: NodeID) throws(VFSError) -> [UInt8] {
        let (mount, inner) = try resolve(node)
        return try mount.files.readLink(inner)
    }

    /// A mount point is listed with its mounted root's number and, with `plus`, attributes.
    public func readDirectory(
        _ node: NodeID, _ handle: Handle, after cookie: DirectoryCookie, plus: Bool,
        _ body: (DirectoryEntry) -> Bool
    ) throws(VFSError) {
        let (mount, inner) = try resolve(node)
        let table = mounts
        var failure: VFSError?
        // The filesystem counts what `body` accepts on the covered node; the root seen instead needs no count.
        var miscounted: [NodeID] = []
        defer { for covered in miscounted { mount.files.forget(covered, count: 1) } }
        try mount.files.readDirectory(inner, handle, after: cookie, plus: plus) { entry in
            do throws(VFSError) {
                var outer = entry
                outer.node = try mount.outward(entry.node)
                if let top = table.top(at: outer.node) {
                    outer.node = try top.outward(top.files.root)
                    if plus { outer.attributes = try top.outward(top.files.attributes(top.files.root)) }
                    let accepted = body(outer)
                    if accepted, plus { miscounted.append(entry.node) }
                    return accepted
                }
                if let attributes = entry.attributes { outer.attributes = try mount.outward(attributes) }
                return body(outer)
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
    }
}
