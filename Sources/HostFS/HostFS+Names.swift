import CLinux
import Glibc
public import VFS

extension HostFS {
    public func lookup(_ name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        let parent = try self.directory(directory)
        return try enter(parent.descriptor.entry(name), as: name, in: parent)
    }

    /// Counts a lookup of a file just found in, or made in, `parent`.
    private func enter(_ descriptor: Descriptor, as name: Name?, in parent: HostDirectory) throws(VFSError) -> Entry
    {
        let status = try descriptor.status()
        let node = try table.enter(descriptor, status, as: name, in: parent.node)
        return Entry(node: NodeID(rawValue: node.number), attributes: Attributes(status, of: node))
    }

    /// The directory through which `node` was last found, or to which it was renamed through this filesystem.
    public func parent(of node: NodeID) throws(VFSError) -> NodeID {
        NodeID(rawValue: table.parent(of: try directory(node).node))
    }

    public func forget(_ node: NodeID, count: UInt64) { table.forget(node.rawValue, count: count) }

    public func readLink(_ node: NodeID) throws(VFSError) -> [UInt8] {
        let file = try self.node(node)
        guard file.kind == .symbolicLink else { throw VFSError(.invalidArgument) }
        var target = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = try table.descriptor(of: file).call { number in
            target.withUnsafeMutableBufferPointer { casemate_read_link(number, $0.baseAddress, $0.count) }
        }
        return target[..<count].map(UInt8.init(bitPattern:))
    }

    /// Made with no more than the owner's rights, then given to the caller, then given its permissions: nobody has
    /// more access in between than at the end.
    public func make(_ new: NewNode, named name: Name?, in directory: NodeID, by caller: Caller)
        throws(VFSError) -> Entry
    {
        try requireWritable()
        let parent = try self.directory(directory)
        let parentStatus = try parent.descriptor.status()
        guard let name else {
            guard new.kind == .regular else { throw VFSError(.invalidArgument) }
            let made = Descriptor(try parent.descriptor.call { casemate_create_unnamed($0, 0o600) })
            let descriptor = Descriptor(try made.call(casemate_path_of))
            try settle(descriptor, new, in: parentStatus, by: caller)
            return try enter(descriptor, as: nil, in: parent)
        }
        let descriptor = try create(new, name, in: parent)
        do throws(VFSError) {
            try settle(descriptor, new, in: parentStatus, by: caller)
            return try enter(descriptor, as: name, in: parent)
        } catch {
            // Best effort: what made the call fail matters more than a leftover.
            _ = try parent.descriptor.use { number in
                name.withCString { unlinkat(number, $0, new.kind == .directory ? AT_REMOVEDIR : 0) }
            }
            throw error
        }
    }

    /// Makes the node and opens it.
    private func create(_ new: NewNode, _ name: Name, in parent: HostDirectory) throws(VFSError) -> Descriptor {
        let mode = mode_t(new.permissions & 0o700)
        switch new.kind {
        case .regular:
            let made = Descriptor(
                try parent.descriptor.call { number in name.withCString { casemate_create(number, $0, mode) } })
            return Descriptor(try made.call(casemate_path_of))
        case .directory:
            _ = try parent.descriptor.call { number in name.withCString { mkdirat(number, $0, mode) } }
        case .symbolicLink:
            guard !new.target.contains(0) else { throw VFSError(.invalidArgument) }
            _ = try parent.descriptor.call { number in
                name.withCString { path in new.target.withCString { symlinkat($0, number, path) } }
            }
        case .fifo, .socket, .characterDevice, .blockDevice:
            _ = try parent.descriptor.call { number in
                name.withCString { mknodat(number, $0, new.kind.modeBits | mode, dev_t(new.device)) }
            }
        }
        let descriptor = try parent.descriptor.entry(name)
        guard NodeKind(mode: try descriptor.status().mode) == new.kind else {
            throw VFSError(.staleNFSFileHandle, fault: "the host replaced \(name) while it was made")
        }
        return descriptor
    }

    /// Gives a new file its owner, where this process may, and its permissions.
    private func settle(_ descriptor: Descriptor, _ new: NewNode, in parent: casemate_status, by caller: Caller)
        throws(VFSError)
    {
        let handsDownGroup = parent.mode & 0o2000 != 0
        let group = handsDownGroup ? parent.group : caller.group
        var permissions = new.permissions & 0o7777 & ~(new.umask & 0o777)
        if new.kind == .directory {
            if handsDownGroup { permissions |= 0o2000 }
        } else if permissions & 0o2010 == 0o2010, caller.user != 0, caller.group != group,
            !caller.groups.contains(group)
        {
            permissions &= ~0o2000
        }
        if geteuid() == 0 {
            _ = try descriptor.call { casemate_change_owner($0, caller.user, group) }
        }
        if new.kind != .symbolicLink {
            _ = try descriptor.call { casemate_change_mode($0, mode_t(permissions)) }
        }
    }

    public func link(_ node: NodeID, as name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        try requireWritable()
        let file = try self.node(node)
        let parent = try self.directory(directory)
        guard file.kind != .directory else { throw VFSError(.notPermitted) }
        let descriptor = try table.descriptor(of: file)
        _ = try parent.descriptor.use { target throws(VFSError) in
            try descriptor.call { number in
                name.withCString { casemate_link(number, file.kind == .symbolicLink ? 1 : 0, target, $0) }
            }
        }
        return try enter(descriptor, as: name, in: parent)
    }

    public func remove(_ name: Name, in directory: NodeID, _ kind: RemovalKind) throws(VFSError) {
        try requireWritable()
        let parent = try self.directory(directory)
        try table.names.exclusive { () throws(VFSError) in
            let removed = try table.detach(name, from: parent)
            do throws(VFSError) {
                _ = try parent.descriptor.call { number in
                    name.withCString { unlinkat(number, $0, kind == .directory ? AT_REMOVEDIR : 0) }
                }
            } catch {
                table.attach(removed, as: name, in: parent)
                throw error
            }
        }
    }

    public func rename(
        _ name: Name, in directory: NodeID, to newName: Name, in newDirectory: NodeID, _ flags: RenameFlags
    ) throws(VFSError) {
        try requireWritable()
        let source = try self.directory(directory)
        let destination = try self.directory(newDirectory)
        try table.names.exclusive { () throws(VFSError) in
            let moved = try table.detach(name, from: source)
            let replaced = try table.detach(newName, from: destination)
            do throws(VFSError) {
                _ = try destination.descriptor.use { target throws(VFSError) in
                    try source.descriptor.call { number in
                        name.withCString { old in
                            newName.withCString { casemate_rename(number, old, target, $0, flags.rawValue) }
                        }
                    }
                }
            } catch {
                table.attach(moved, as: name, in: source)
                table.attach(replaced, as: newName, in: destination)
                throw error
            }
            if flags.contains(.exchange) { table.attach(replaced, as: name, in: source) }
            table.attach(moved, as: newName, in: destination)
        }
    }
}
