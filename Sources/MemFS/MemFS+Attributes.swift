public import VFS

extension MemFS {
    public func attributes(_ node: NodeID) throws(VFSError) -> Attributes { try inode(node).attributes() }

    /// - Throws: `EISDIR` or `EINVAL` for the size of what is no regular file, `EFBIG`.
    public func setAttributes(_ node: NodeID, _ change: AttributeChange, by caller: Caller)
        throws(VFSError) -> Attributes
    {
        let inode = try inode(node)
        if let size = change.size {
            _ = try regularFile(node)
            guard size <= Self.maximumFileBytes else { throw VFSError(.fileTooLarge) }
        }
        return try inode.lock.exclusive { () throws(VFSError) in
            let now = Timestamp.now
            if let size = change.size {
                inode.resize(to: size)
                inode.modificationTime = now
            }
            if let permissions = change.permissions {
                inode.permissions = permissions & 0o7777
                try inode.permissionsChanged()
            }
            if let owner = change.owner { inode.owner = owner }
            if let group = change.group { inode.group = group }
            if let time = change.accessTime { inode.accessTime = time.resolved(at: now) }
            if let time = change.modificationTime { inode.modificationTime = time.resolved(at: now) }
            if change.clearsPrivileges { inode.clearPrivileges() }
            inode.changeTime = now
            return inode.attributesLocked()
        }
    }
}

extension AttributeChange.Time {
    func resolved(at now: Timestamp) -> Timestamp {
        switch self {
        case .now: now
        case .exact(let time): time
        }
    }
}
