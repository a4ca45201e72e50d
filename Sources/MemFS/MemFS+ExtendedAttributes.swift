public import VFS

/// Extended attributes of the namespaces `user`, `trusted` and `security`, `xattr(7)`; of `system` the access control
/// lists, which ``setAccessControlList(_:of:to:_:)`` ties to permission bits.
extension MemFS {
    private static let maximumNameBytes = 255
    private static let maximumValueBytes = 65_536
    /// What one `listxattr(2)` can return, in bytes.
    private static let maximumListBytes = 65_536

    private func validate(_ name: [UInt8]) throws(VFSError) {
        guard (1...Self.maximumNameBytes).contains(name.count) else { throw VFSError(.outOfRange) }
        guard !name.contains(0) else { throw VFSError(.invalidArgument) }
        if AccessControlList.isName(name) { return }
        guard let space = ["user.", "trusted.", "security."].first(where: { name.starts(with: $0.utf8) }) else {
            throw VFSError(.notSupported)
        }
        guard name.count > space.utf8.count else { throw VFSError(.invalidArgument) }
    }

    /// `user.` belongs to files and directories only.
    private func validate(_ name: [UInt8], on kind: NodeKind) throws(VFSError) {
        try validate(name)
        if name.starts(with: "user.".utf8), kind != .regular, kind != .directory {
            throw VFSError(.notPermitted)
        }
    }

    public func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) -> [UInt8] {
        let inode = try inode(node)
        try validate(name)
        let value = inode.lock.shared { inode.extendedAttributes.first { $0.name == name }?.value }
        guard let value else { throw VFSError(.noSuchAttribute) }
        return value
    }

    public func extendedAttributeNames(of node: NodeID) throws(VFSError) -> [[UInt8]] {
        let inode = try inode(node)
        return inode.lock.shared { inode.extendedAttributes.map(\.name) }
    }

    public func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], _ mode: AttributeWriteMode
    ) throws(VFSError) {
        let inode = try inode(node)
        try validate(name, on: inode.kind)
        guard value.count <= Self.maximumValueBytes else { throw VFSError(.argListTooLong) }
        if AccessControlList.isName(name) { return try setAccessControlList(name, of: inode, to: value, mode) }
        try inode.lock.exclusive { () throws(VFSError) in
            try set(name, of: inode, to: value, mode)
            inode.changeTime = .now
        }
    }

    /// Under the inode's lock, exclusive.
    func set(
        _ name: [UInt8], of inode: Inode, to value: [UInt8], _ mode: AttributeWriteMode
    ) throws(VFSError) {
        let place = inode.extendedAttributes.firstIndex { $0.name == name }
        if place != nil, mode == .create { throw VFSError(.fileExists) }
        if place == nil, mode == .replace { throw VFSError(.noSuchAttribute) }
        guard budget.take(Inode.cost(name, value)) else { throw VFSError(.noSpace) }
        if let place {
            budget.give(Inode.cost(name, inode.extendedAttributes[place].value))
            inode.extendedAttributes[place].value = value
        } else {
            let listed = inode.extendedAttributes.reduce(name.count + 1) { $0 + $1.name.count + 1 }
            guard listed <= Self.maximumListBytes else {
                budget.give(Inode.cost(name, value))
                throw VFSError(.noSpace)
            }
            inode.extendedAttributes.append((name, value))
        }
    }

    public func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) {
        let inode = try inode(node)
        try validate(name, on: inode.kind)
        try inode.lock.exclusive { () throws(VFSError) in
            guard let place = inode.extendedAttributes.firstIndex(where: { $0.name == name }) else {
                // acl(5) has no error for taking away a list that is not there.
                if AccessControlList.isName(name), inode.kind != .symbolicLink { return }
                throw VFSError(.noSuchAttribute)
            }
            let old = inode.extendedAttributes.remove(at: place)
            budget.give(Inode.cost(old.name, old.value))
            inode.changeTime = .now
        }
    }
}
