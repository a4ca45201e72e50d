import CLinux
import Glibc
import Synchronization
public import VFS

extension HostFS {
    /// - Throws: `ELOOP` for a symbolic link, `ENXIO` for what is neither file nor directory, `EISDIR`, `ENOTDIR`,
    ///   `EROFS`; what the host says.
    public func open(_ node: NodeID, _ flags: OpenFlags) throws(VFSError) -> Handle {
        let file = try self.node(node)
        let writes = !flags.isDisjoint(with: [.write, .truncate])
        var hostFlags: Int32 = 0
        switch file.kind {
        case .regular:
            if flags.contains(.directory) { throw VFSError(.notDirectory) }
            hostFlags |= writes ? flags.contains(.read) ? O_RDWR : O_WRONLY : O_RDONLY
            if flags.contains(.truncate) { hostFlags |= O_TRUNC }
        case .directory:
            if writes { throw VFSError(.isDirectory) }
            hostFlags |= O_RDONLY | O_DIRECTORY
        case .symbolicLink: throw VFSError(.tooManySymbolicLinkLevels)
        case .fifo, .socket, .characterDevice, .blockDevice: throw VFSError(.noSuchAddressOrDevice)
        }
        if writes { try requireWritable() }
        let descriptor: Descriptor
        if flags.contains(.noAccessTime) {
            descriptor = try reopenWithoutAccessTime(file, hostFlags)
        } else {
            descriptor = try table.descriptor(of: file).reopen(hostFlags)
        }
        table.opened(file)
        return add(HostOpen(file, descriptor))
    }

    /// The host allows `O_NOATIME` to a file's owner only; for others it is a wish.
    private func reopenWithoutAccessTime(_ file: HostNode, _ flags: Int32) throws(VFSError) -> Descriptor {
        do throws(VFSError) {
            return try table.descriptor(of: file).reopen(flags | CASEMATE_OPEN_NO_ACCESS_TIME)
        } catch {
            guard error.errno == .notPermitted else { throw error }
            return try table.descriptor(of: file).reopen(flags)
        }
    }

    public func close(_ node: NodeID, _ handle: Handle) {
        guard let file = remove(handle) else { return }
        table.closed(file.node)
    }

    public func read(
        _ node: NodeID, _ handle: Handle, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    )
        throws(VFSError) -> Int
    {
        let file = try file(handle)
        guard file.node.kind == .regular else { throw VFSError(.isDirectory) }
        guard let start = off_t(exactly: offset) else { return 0 }
        var done = 0
        // The end of file, or a short read there, ends it; signals and pipes make no others on regular files.
        while done < buffer.count, let base = buffer.baseAddress, start <= off_t.max - off_t(done) {
            let count = try file.descriptor.call {
                pread($0, base + done, buffer.count - done, start + off_t(done))
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    public func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags
    ) throws(VFSError) -> Written {
        try requireWritable()
        let file = try file(handle)
        guard file.node.kind == .regular else { throw VFSError(.isDirectory) }
        let written: Written
        switch position {
        case .end: written = try append(file, bytes)
        case .offset(let offset):
            guard !bytes.isEmpty else { return Written(count: 0, end: offset) }
            guard let start = off_t(exactly: offset) else { throw VFSError(.fileTooLarge) }
            let count = try file.descriptor.call { pwrite($0, bytes.baseAddress, bytes.count, start) }
            written = Written(count: count, end: offset + UInt64(count))
        }
        if flags.contains(.clearsPrivileges), written.count > 0 { try clearPrivileges(file.node) }
        return written
    }

    private func append(_ file: HostOpen, _ bytes: UnsafeRawBufferPointer) throws(VFSError) -> Written {
        try file.position.withLock { _ throws(VFSError) -> Written in
            guard !bytes.isEmpty else { return Written(count: 0, end: try file.descriptor.status().size) }
            let count = try file.descriptor.call { casemate_append($0, bytes.baseAddress, bytes.count) }
            let end = try file.descriptor.call { lseek($0, 0, SEEK_CUR) }
            return Written(count: count, end: UInt64(end))
        }
    }

    public func allocate(_ node: NodeID, _ handle: Handle, _ range: Range<UInt64>, _ mode: AllocationMode)
        throws(VFSError)
    {
        try requireWritable()
        let file = try file(handle)
        guard file.node.kind == .regular else { throw VFSError(.isDirectory) }
        guard !range.isEmpty else { throw VFSError(.invalidArgument) }
        guard let end = off_t(exactly: range.upperBound) else { throw VFSError(.fileTooLarge) }
        let start = off_t(range.lowerBound)
        _ = try file.descriptor.call { casemate_host_allocate($0, mode.hostMode, start, end - start) }
    }

    public func seek(_ node: NodeID, _ handle: Handle, from offset: UInt64, to target: SeekTarget)
        throws(VFSError) -> UInt64
    {
        let file = try file(handle)
        guard file.node.kind == .regular else { throw VFSError(.invalidArgument) }
        guard let start = off_t(exactly: offset) else { throw VFSError(.noSuchAddressOrDevice) }
        return try file.position.withLock { _ throws(VFSError) -> UInt64 in
            UInt64(try file.descriptor.call { casemate_seek($0, start, target == .hole ? 1 : 0) })
        }
    }
}

extension AllocationMode {
    /// As `casemate_host_allocate` numbers them.
    fileprivate var hostMode: Int32 {
        switch self {
        case .allocate: 0
        case .allocateKeepingSize: 1
        case .punchHole: 2
        case .zero: 3
        case .zeroKeepingSize: 4
        case .collapse: 5
        case .insert: 6
        }
    }
}
