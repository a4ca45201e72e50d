import VFS

/// Access control lists, kept as extended attributes, and what ties them to permission bits: `acl(5)`.
extension MemFS {
    /// Stores a list. An access list sets the permission bits; one that says no more than they do is not kept.
    /// - Throws: `EINVAL` for what is no list, `EACCES` for a default list on what is no directory.
    func setAccessControlList(
        _ name: [UInt8], of inode: Inode, to value: [UInt8], _ mode: AttributeWriteMode
    ) throws(VFSError) {
        let list = try AccessControlList(attribute: value)
        let isAccess = name == AccessControlList.accessName
        guard inode.kind != .symbolicLink else { throw VFSError(.notSupported) }
        guard isAccess || inode.kind == .directory || list == nil else { throw VFSError(.permissionDenied) }
        try inode.lock.exclusive { () throws(VFSError) in
            let place = inode.extendedAttributes.firstIndex { $0.name == name }
            if place != nil, mode == .create { throw VFSError(.fileExists) }
            if place == nil, mode == .replace { throw VFSError(.noSuchAttribute) }
            if let list, !isAccess || !list.isMinimal {
                try set(name, of: inode, to: list.attribute, .createOrReplace)
            } else if let place {
                let old = inode.extendedAttributes.remove(at: place)
                budget.give(Inode.cost(old.name, old.value))
            }
            if isAccess, let list { inode.permissions = inode.permissions & 0o7000 | list.permissionBits }
            inode.changeTime = .now
        }
    }
}

extension Inode {
    /// Under ``lock``.
    func accessControlList(_ name: [UInt8]) throws(VFSError) -> AccessControlList? {
        guard let stored = extendedAttributes.first(where: { $0.name == name }) else { return nil }
        return try AccessControlList(attribute: stored.value)
    }

    /// Lets the access list follow the permission bits. Under ``lock``, exclusive.
    func permissionsChanged() throws(VFSError) {
        let name = AccessControlList.accessName
        guard let place = extendedAttributes.firstIndex(where: { $0.name == name }),
            var list = try AccessControlList(attribute: extendedAttributes[place].value)
        else { return }
        list.change(to: permissions)
        extendedAttributes[place].value = list.attribute
    }
}
