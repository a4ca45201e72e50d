import Synchronization
public import VFS

/// One row of a namespace's mount table.
public struct MountDescription: Sendable {
    public var path: String
    /// As ``Traits/typeName``.
    public var typeName: String
    public var readOnly: Bool
    /// The mounted filesystem's root, by the namespace's number.
    public var root: NodeID
}

extension Namespace {
    /// Every mount, in the order they were made.
    public var mountDescriptions: [MountDescription] {
        mounts.mounts.compactMap(\.self).map { mount in
            MountDescription(
                path: mount.path, typeName: mount.files.traits.typeName, readOnly: mount.readOnly,
                root: NodeID(rawValue: mount.index << Mount.nodeBits | mount.files.root.rawValue))
        }
    }

    /// Mounts a filesystem on a directory; what the directory held is hidden until ``unmount(_:)``. A later mount on the
    /// same path covers an earlier one.
    /// - Parameters:
    ///   - files: its node numbers must be below 2^48.
    ///   - path: absolute, an existing directory, without symbolic links.
    ///   - readOnly: refuse changes with `EROFS`, whatever the filesystem would allow itself.
    /// - Throws: `ENOENT`, `ENOTDIR`, `EINVAL` for a relative path, `EBUSY` for `/`, `ENOSPC` after 65,535 mounts.
    public func mount(_ files: any FileSystem, at path: String, readOnly: Bool = false) throws(VFSError) {
        let mount = try mounting.exclusive { () throws(VFSError) -> Mount in
            let found = try directory(at: path)
            let current = mounts.mounts
            var kept = false
            defer { if !kept { forget(found.node, count: 1) } }
            guard current.count < 1 << (64 - Mount.nodeBits) else { throw VFSError(.noSpace) }
            let mount = Mount(
                index: UInt64(current.count), files, path: path, readOnly: readOnly || files.traits.readOnly,
                covers: found.node, place: (found.holder, found.name))
            _ = try mount.outward(files.root)
            replaceMounts(current + [mount])
            kept = true
            return mount
        }
        passOn(to: mount)
        announce(mount)
    }

    /// Commits and takes away the uppermost mount at `path`. Its nodes are `ESTALE` from then on.
    /// - Throws: `EINVAL` where nothing is mounted, `EBUSY` while files are open in it, something is mounted in it, or
    ///   for `/`; what the commit throws, and then it stays mounted.
    public func unmount(_ path: String) throws(VFSError) {
        let mount = try mounting.exclusive { () throws(VFSError) -> Mount in
            let found = try directory(at: path)
            defer { forget(found.node, count: 1) }
            let mount = try mounts.mount(of: found.node)
            guard Mount.inward(found.node) == mount.files.root, let covered = mount.covers else {
                throw VFSError(.invalidArgument)
            }
            guard mount.opens.load(ordering: .sequentiallyConsistent) == 0 else { throw VFSError(.resourceBusy) }
            let inside = mounts.mounts.contains { other in
                other?.covers.map { Mount.index(of: $0) == mount.index } ?? false
            }
            guard !inside else { throw VFSError(.resourceBusy) }
            if !mount.readOnly { try mount.files.commit(nil, dataOnly: false).wait() }
            var remaining = mounts.mounts
            remaining[Int(mount.index)] = nil
            replaceMounts(remaining)
            forget(covered, count: 1)
            return mount
        }
        mount.files.observe(nil)
        announce(mount)
    }

    /// The directory seen at `path`, looked up once, and where its name is.
    private func directory(at path: String) throws(VFSError) -> (node: NodeID, holder: NodeID, name: Name) {
        let parts = path.utf8.split(separator: UInt8(ascii: "/"))
        guard path.utf8.first == UInt8(ascii: "/") else { throw VFSError(.invalidArgument) }
        guard let last = parts.last else { throw VFSError(.resourceBusy) }
        var holder = root
        for part in parts.dropLast() {
            let next: Entry
            do throws(VFSError) {
                next = try lookup(Name(part), in: holder)
            } catch {
                forget(holder, count: 1)
                throw error
            }
            forget(holder, count: 1)
            holder = next.node
        }
        defer { forget(holder, count: 1) }
        let name = try Name(last)
        let entry = try lookup(name, in: holder)
        guard entry.attributes.kind == .directory else {
            forget(entry.node, count: 1)
            throw VFSError(.notDirectory)
        }
        return (entry.node, holder, name)
    }

    /// Tells the observer that another node is seen at the mount point.
    private func announce(_ mount: Mount) {
        guard let place = mount.place else { return }
        observer.withLock { $0 }?.changed(place.name, in: place.directory)
    }
}
