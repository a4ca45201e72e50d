public import VFS

/// The directory and its one name; nothing can be made, renamed or removed.
extension BlockFS {
    private static let refusal = VFSError(.notPermitted)

    func requireDisk(_ node: NodeID) throws(VFSError) {
        guard node == Self.disk else { throw VFSError(node == root ? .isDirectory : .staleNFSFileHandle) }
    }

    public func lookup(_ name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        guard directory == root else { throw VFSError(.notDirectory) }
        guard name.bytes == Array(Self.diskName.utf8) else { throw VFSError(.noSuchFileOrDirectory) }
        return Entry(node: Self.disk, attributes: try attributes(Self.disk))
    }

    public func parent(of node: NodeID) throws(VFSError) -> NodeID { root }

    /// Both nodes live as long as the device is shown.
    public func forget(_ node: NodeID, count: UInt64) {}

    public func attributes(_ node: NodeID) throws(VFSError) -> Attributes {
        let isRoot = node == root
        if !isRoot { try requireDisk(node) }
        let times = times.withLock { $0 }
        let access: UInt16 = device.isReadOnly ? 0o400 : 0o600
        return Attributes(
            node: node, kind: isRoot ? .directory : .regular, permissions: isRoot ? access | 0o100 : access,
            linkCount: isRoot ? 2 : 1, owner: options.owner, group: options.group, size: isRoot ? 0 : byteCount,
            blocks512: isRoot ? 0 : byteCount / 512, device: 0, accessTime: times.read,
            modificationTime: times.written, changeTime: times.changed, birthTime: times.read,
            preferredBytes: 1 << 20)
    }

    /// Times can be set, for as long as the device is shown. The size is the device's, and who may use it does not
    /// change: `EPERM`.
    public func setAttributes(
        _ node: NodeID, _ change: AttributeChange, by caller: Caller
    ) throws(VFSError) -> Attributes {
        let now = try attributes(node)
        guard change.size == nil || change.size == now.size, change.owner == nil || change.owner == now.owner,
            change.group == nil || change.group == now.group,
            change.permissions == nil || change.permissions == now.permissions
        else { throw Self.refusal }
        times.withLock { times in
            if let time = change.accessTime { times.read = Self.timestamp(time) }
            if let time = change.modificationTime { times.written = Self.timestamp(time) }
            times.changed = .now
        }
        return try attributes(node)
    }

    private static func timestamp(_ time: AttributeChange.Time) -> Timestamp {
        switch time {
        case .now: .now
        case .exact(let time): time
        }
    }

    public func make(
        _ new: NewNode, named name: Name?, in directory: NodeID, by caller: Caller
    ) throws(VFSError) -> Entry { throw Self.refusal }
    public func link(_ node: NodeID, as name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        throw Self.refusal
    }
    public func remove(_ name: Name, in directory: NodeID, _ kind: RemovalKind) throws(VFSError) {
        throw Self.refusal
    }
    public func rename(
        _ name: Name, in directory: NodeID, to newName: Name, in newDirectory: NodeID, _ flags: RenameFlags
    ) throws(VFSError) { throw Self.refusal }
    public func readLink(_ node: NodeID) throws(VFSError) -> [UInt8] { throw VFSError(.invalidArgument) }

    public func readDirectory(
        _ node: NodeID, _ handle: Handle, after cookie: DirectoryCookie, plus: Bool,
        _ body: (DirectoryEntry) -> Bool
    ) throws(VFSError) {
        guard node == root else { throw VFSError(.notDirectory) }
        let place = DirectoryCookie(rawValue: 3)
        guard cookie < place else { return }
        _ = body(
            DirectoryEntry(
                name: try Name(Self.diskName), node: Self.disk, kind: .regular, cookie: place,
                attributes: plus ? try attributes(Self.disk) : nil))
    }

    public func open(_ node: NodeID, _ flags: OpenFlags) throws(VFSError) -> Handle {
        guard node == root || node == Self.disk else { throw VFSError(.staleNFSFileHandle) }
        guard !device.isReadOnly || !flags.contains(.write) else { throw VFSError(.readOnlyFileSystem) }
        return .none
    }
    public func close(_ node: NodeID, _ handle: Handle) {}

    /// All of the device belongs to the file.
    public func statistics() throws(VFSError) -> Statistics {
        Statistics(
            blockBytes: 4096, totalBlocks: device.logicalBlockCount, freeBlocks: 0, availableBlocks: 0,
            totalNodes: 2, freeNodes: 0)
    }
}
