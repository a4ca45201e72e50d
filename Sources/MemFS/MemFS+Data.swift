import Synchronization
public import VFS

extension OpenFlags {
    /// MemFS keeps nothing per open: the handle is the flags.
    init(_ handle: Handle) { self.init(rawValue: UInt32(truncatingIfNeeded: handle.rawValue)) }
}

extension MemFS {
    /// - Throws: `ELOOP` for a symbolic link, `EISDIR`, `ENOTDIR`, `ENXIO` for what has no bytes of its own.
    public func open(_ node: NodeID, _ flags: OpenFlags) throws(VFSError) -> Handle {
        let inode = try inode(node)
        switch inode.kind {
        case .regular: if flags.contains(.directory) { throw VFSError(.notDirectory) }
        case .directory:
            guard flags.isDisjoint(with: [.write, .truncate]) else { throw VFSError(.isDirectory) }
        case .symbolicLink: throw VFSError(.tooManySymbolicLinkLevels)
        case .fifo, .characterDevice, .blockDevice, .socket: throw VFSError(.noSuchAddressOrDevice)
        }
        namespace.shared { _ = inode.opens.add(1, ordering: .sequentiallyConsistent) }
        if flags.contains(.truncate) {
            inode.lock.exclusive {
                inode.resize(to: 0)
                inode.modificationTime = .now
                inode.changeTime = inode.modificationTime
            }
        }
        return Handle(rawValue: 1 << 32 | UInt64(flags.rawValue))
    }

    public func close(_ node: NodeID, _ handle: Handle) {
        guard handle != .none, let inode = inodes[node.rawValue] else { return }
        decrement(inode.opens, by: 1)
        reapIfUnreferenced(inode)
    }

    public func read(
        _ node: NodeID, _ handle: Handle, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    )
        throws(VFSError) -> Int
    {
        let inode = try regularFile(node)
        let count = inode.lock.shared { inode.read(at: offset, into: buffer) }
        if OpenFlags(handle).isDisjoint(with: .noAccessTime) { inode.touchAccessTime() }
        return count
    }

    public func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags
    ) throws(VFSError) -> Written {
        let inode = try regularFile(node)
        return try inode.lock.exclusive { () throws(VFSError) -> Written in
            let offset =
                switch position {
                case .offset(let offset): offset
                case .end: inode.size
                }
            guard !bytes.isEmpty else { return Written(count: 0, end: offset) }
            guard offset < Self.maximumFileBytes else { throw VFSError(.fileTooLarge) }
            let room = Int(min(UInt64(bytes.count), Self.maximumFileBytes - offset))
            let count = inode.write(at: offset, UnsafeRawBufferPointer(rebasing: bytes[..<room]))
            guard count > 0 else { throw VFSError(.noSpace) }
            if flags.contains(.clearsPrivileges) { inode.clearPrivileges() }
            inode.modificationTime = .now
            inode.changeTime = inode.modificationTime
            return Written(count: count, end: offset + UInt64(count))
        }
    }

    /// - Throws: `EINVAL` for an empty range, and for one to collapse or insert that is not of whole pages or not followed
    ///   by bytes of the file; `EFBIG`, `ENOSPC`, `EISDIR`, `ENODEV`.
    public func allocate(_ node: NodeID, _ handle: Handle, _ range: Range<UInt64>, _ mode: AllocationMode)
        throws(VFSError)
    {
        let inode = try inode(node)
        guard inode.kind == .regular else {
            throw VFSError(inode.kind == .directory ? .isDirectory : .operationNotSupportedByDevice)
        }
        guard !range.isEmpty else { throw VFSError(.invalidArgument) }
        guard range.upperBound <= Self.maximumFileBytes else { throw VFSError(.fileTooLarge) }
        try inode.lock.exclusive { () throws(VFSError) in
            switch mode {
            case .allocate, .allocateKeepingSize:
                guard inode.fill(range) else { throw VFSError(.noSpace) }
            case .zero, .zeroKeepingSize:
                guard inode.fill(range) else { throw VFSError(.noSpace) }
                inode.clear(range)
            case .punchHole: inode.punch(range)
            case .collapse: try inode.collapse(range)
            case .insert: try inode.insert(range)
            }
            if mode == .allocate || mode == .zero { inode.size = max(inode.size, range.upperBound) }
            inode.modificationTime = .now
            inode.changeTime = inode.modificationTime
        }
    }

    public func seek(_ node: NodeID, _ handle: Handle, from offset: UInt64, to target: SeekTarget)
        throws(VFSError) -> UInt64
    {
        let inode = try regularFile(node)
        return try inode.lock.shared { () throws(VFSError) -> UInt64 in
            guard offset < inode.size, let found = inode.seek(from: offset, to: target) else {
                throw VFSError(.noSuchAddressOrDevice)
            }
            return found
        }
    }
}
