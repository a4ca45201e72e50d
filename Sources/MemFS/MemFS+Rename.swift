import Synchronization
public import VFS

extension MemFS {
    public func rename(
        _ name: Name, in directory: NodeID, to newName: Name, in newDirectory: NodeID, _ flags: RenameFlags
    ) throws(VFSError) {
        guard flags != [.noReplace, .exchange] else { throw VFSError(.invalidArgument) }
        let source = try self.directory(directory)
        let destination = try self.directory(newDirectory)
        let replaced = try namespace.exclusive { () throws(VFSError) -> Inode? in
            guard let moved = source.directory.find(name) else { throw VFSError(.noSuchFileOrDirectory) }
            try requireLive(destination)
            let inode = try inode(NodeID(rawValue: moved.node))
            let target = destination.directory.find(newName)
            if flags.contains(.exchange) {
                guard let target else { throw VFSError(.noSuchFileOrDirectory) }
                let other = try self.inode(NodeID(rawValue: target.node))
                try exchange(inode, name, in: source, with: other, newName, in: destination)
                return nil
            }
            guard let target else {
                try move(inode, name, in: source, to: newName, in: destination)
                return nil
            }
            guard !flags.contains(.noReplace) else { throw VFSError(.fileExists) }
            // rename(2): two links to one file stay as they are.
            if target.node == moved.node { return nil }
            let old = try self.inode(NodeID(rawValue: target.node))
            try replace(old, newName, in: destination, with: inode, name, in: source)
            return old
        }
        if let replaced { reapIfUnreferenced(replaced) }
    }

    /// - Throws: `EINVAL` when `inode` is a directory and `destination` lies in it.
    private func requireNotBelow(_ inode: Inode, _ destination: Inode) throws(VFSError) {
        guard inode.kind == .directory else { return }
        var place = destination
        while place !== rootInode {
            guard place !== inode else { throw VFSError(.invalidArgument) }
            place = try self.inode(NodeID(rawValue: place.parent))
        }
        guard inode !== rootInode else { throw VFSError(.invalidArgument) }
    }

    private func move(_ inode: Inode, _ name: Name, in source: Inode, to newName: Name, in destination: Inode)
        throws(VFSError)
    {
        try requireNotBelow(inode, destination)
        if inode.kind == .directory, source !== destination { try requireRoomForLink(destination) }
        guard budget.take(entryCost(newName)) else { throw VFSError(.noSpace) }
        source.directory.remove(name)
        budget.give(entryCost(name))
        destination.directory.insert(newName, inode.number, inode.kind)
        moved(inode, from: source, to: destination)
    }

    private func replace(
        _ old: Inode, _ newName: Name, in destination: Inode, with inode: Inode, _ name: Name, in source: Inode
    ) throws(VFSError) {
        try requireNotBelow(inode, destination)
        try requireRemovable(old, as: inode.kind == .directory ? .directory : .nonDirectory)
        source.directory.remove(name)
        budget.give(entryCost(name))
        destination.directory.rebind(newName, inode.number, inode.kind)
        unlinked(old, from: destination, at: Timestamp.now)
        moved(inode, from: source, to: destination)
    }

    private func exchange(
        _ inode: Inode, _ name: Name, in source: Inode, with other: Inode, _ newName: Name, in destination: Inode
    ) throws(VFSError) {
        if inode === other { return }
        try requireNotBelow(inode, destination)
        try requireNotBelow(other, source)
        source.directory.rebind(name, other.number, other.kind)
        destination.directory.rebind(newName, inode.number, inode.kind)
        moved(inode, from: source, to: destination)
        moved(other, from: destination, to: source)
    }

    /// Settles parents, link counts and times after `inode`'s entry went from one directory to another.
    private func moved(_ inode: Inode, from source: Inode, to destination: Inode) {
        let now = Timestamp.now
        if inode.kind == .directory, source !== destination {
            inode.parent = destination.number
            source.links.subtract(1, ordering: .relaxed)
            destination.links.add(1, ordering: .relaxed)
        }
        inode.lock.exclusive { inode.changeTime = now }
        entriesChanged(in: source, at: now)
        if source !== destination { entriesChanged(in: destination, at: now) }
    }
}
