import CLinux
import FUSEFront
import Glibc
import Synchronization
import VFS

@testable import HostFS

/// A mount, spoken to by the system calls that programs make: what lets the conformance suite, which speaks ``FileSystem``,
/// run through the kernel.
///
/// Most calls are those of ``HostFS``, one system call each. What a caller's identity decides is done as that caller here,
/// where HostFS as root would only put right what the host did: who owns what is made, with what umask, and which
/// privileges a write or a truncation takes away.
final class KernelClient: FileSystem {
    /// `nil` once let go.
    private let held: Mutex<HostFS?>
    let traits: Traits

    /// Somebody without any privileges.
    private static let nobody = Caller(user: 65_534, group: 65_534)

    /// - Parameters:
    ///   - path: the mountpoint.
    ///   - maximumFileBytes: of the filesystem behind the mount.
    init(path: String, maximumFileBytes: UInt64) throws {
        held = Mutex(try HostFS(root: path, readOnly: false))
        traits = Traits(
            ownsState: false, readOnly: false, maximumFileBytes: maximumFileBytes, typeName: "mount")
    }

    private var host: HostFS {
        guard let host = held.withLock({ $0 }) else { preconditionFailure("a mount is used after it was let go") }
        return host
    }

    /// Closes everything, so that the mount can go. Nothing may be called any more.
    func letGo() { held.withLock { $0 = nil } }

    var root: NodeID { host.root }

    /// As the kernel has it, where HostFS remembers how it found the directory.
    func parent(of node: NodeID) throws(VFSError) -> NodeID {
        if node == root { return root }
        var status = casemate_status()
        _ = try host.directory(node).descriptor.call { casemate_status_at($0, "..", &status) }
        return NodeID(rawValue: host.table.listedNumber(inode: status.inode))
    }

    /// The kernel does not say whether there is a list without being asked for it.
    func attributes(_ node: NodeID) throws(VFSError) -> Attributes {
        var attributes = try host.attributes(node)
        attributes.mayHaveAccessControlList = true
        return attributes
    }

    func setAttributes(_ node: NodeID, _ change: AttributeChange, by caller: Caller) throws(VFSError) -> Attributes
    {
        var change = change
        if let size = change.size, change.clearsPrivileges {
            // Opened as root: it is not permission to open that is asked about.
            let handle = try host.open(node, .write)
            defer { host.close(node, handle) }
            let file = try host.file(handle)
            _ = try Impersonation.run(as: Self.nobody) { () throws(VFSError) in
                try file.descriptor.call { ftruncate($0, off_t(clamping: size)) }
            }
            change.size = nil
            change.clearsPrivileges = false
        }
        return try host.setAttributes(node, change, by: caller)
    }

    func make(_ new: NewNode, named name: Name?, in directory: NodeID, by caller: Caller) throws(VFSError) -> Entry
    {
        guard let name else { return try host.make(new, named: nil, in: directory, by: caller) }
        let parent = try host.directory(directory)
        try Impersonation.run(as: caller, umask: new.umask) { () throws(VFSError) in
            _ = try parent.descriptor.call { number in
                name.withCString { Self.make(new, number, $0) }
            }
        }
        return try host.lookup(name, in: directory)
    }

    /// The one system call that makes a node of this kind.
    private static func make(_ new: NewNode, _ directory: Int32, _ name: UnsafePointer<CChar>) -> Int32 {
        let mode = mode_t(new.permissions)
        switch new.kind {
        case .regular:
            let made = casemate_create(directory, name, mode)
            return made < 0 ? made : Glibc.close(made)
        case .directory: return mkdirat(directory, name, mode)
        case .symbolicLink: return new.target.withCString { symlinkat($0, directory, name) }
        case .fifo, .socket, .characterDevice, .blockDevice:
            return mknodat(directory, name, new.kind.modeBits | mode, dev_t(new.device))
        }
    }

    func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags
    ) throws(VFSError) -> Written {
        guard flags.contains(.clearsPrivileges) else {
            return try host.write(node, handle, at: position, bytes, flags)
        }
        let host = host
        nonisolated(unsafe) let bytes = bytes
        return try Impersonation.run(as: Self.nobody) { () throws(VFSError) in
            try host.write(node, handle, at: position, bytes, flags.subtracting(.clearsPrivileges))
        }
    }

    /// `FICLONERANGE` of `ioctl_ficlonerange(2)`.
    func clone(
        _ source: NodeID, _ range: Range<UInt64>, to target: NodeID, at offset: UInt64, _ flags: WriteFlags
    ) throws(VFSError) {
        let (from, to) = (try host.open(source, .read), try host.open(target, .write))
        defer {
            host.close(source, from)
            host.close(target, to)
        }
        let (source, target) = (try host.file(from).descriptor, try host.file(to).descriptor)
        _ = try source.use { number throws(VFSError) in
            // struct file_clone_range: descriptor, offset and length of the source, offset of the target.
            var argument = [UInt64(number), range.lowerBound, UInt64(range.count), offset]
            return try target.call { casemate_ioctl($0, Self.cloneRange, &argument) }
        }
    }

    private static let cloneRange: UInt = 0x4020_940D

    /// As the kernel tells it of the file, which may stand on another filesystem than the root.
    func statistics(of node: NodeID) throws(VFSError) -> Statistics {
        let descriptor = try host.table.descriptor(of: host.node(node))
        var found = statvfs()
        _ = try descriptor.call { fstatvfs($0, &found) }
        return Statistics(
            blockBytes: UInt32(clamping: found.f_frsize), totalBlocks: UInt64(found.f_blocks),
            freeBlocks: UInt64(found.f_bfree), availableBlocks: UInt64(found.f_bavail),
            totalNodes: UInt64(found.f_files), freeNodes: UInt64(found.f_ffree))
    }

    /// Whether the kernel knows when a file was made.
    func tellsBirth(of node: NodeID) throws(VFSError) -> Bool { try host.node(node).born != nil }
}

/// What HostFS's own system calls do already.
extension KernelClient {
    func lookup(_ name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        try host.lookup(name, in: directory)
    }
    func forget(_ node: NodeID, count: UInt64) { host.forget(node, count: count) }
    func link(_ node: NodeID, as name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        try host.link(node, as: name, in: directory)
    }
    func remove(_ name: Name, in directory: NodeID, _ kind: RemovalKind) throws(VFSError) {
        try host.remove(name, in: directory, kind)
    }
    func rename(
        _ name: Name, in directory: NodeID, to newName: Name, in newDirectory: NodeID, _ flags: RenameFlags
    ) throws(VFSError) {
        try host.rename(name, in: directory, to: newName, in: newDirectory, flags)
    }
    func readLink(_ node: NodeID) throws(VFSError) -> [UInt8] { try host.readLink(node) }
    func readDirectory(
        _ node: NodeID, _ handle: Handle, after cookie: DirectoryCookie, plus: Bool,
        _ body: (DirectoryEntry) -> Bool
    ) throws(VFSError) { try host.readDirectory(node, handle, after: cookie, plus: plus, body) }
    func open(_ node: NodeID, _ flags: OpenFlags) throws(VFSError) -> Handle { try host.open(node, flags) }
    func close(_ node: NodeID, _ handle: Handle) { host.close(node, handle) }
    func read(_ node: NodeID, _ handle: Handle, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(VFSError) -> Int
    { try host.read(node, handle, at: offset, into: buffer) }
    func allocate(_ node: NodeID, _ handle: Handle, _ range: Range<UInt64>, _ mode: AllocationMode)
        throws(VFSError)
    { try host.allocate(node, handle, range, mode) }
    func seek(_ node: NodeID, _ handle: Handle, from offset: UInt64, to target: SeekTarget) throws(VFSError)
        -> UInt64
    { try host.seek(node, handle, from: offset, to: target) }
    func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) -> [UInt8] {
        try host.extendedAttribute(name, of: node)
    }
    func extendedAttributeNames(of node: NodeID) throws(VFSError) -> [[UInt8]] {
        try host.extendedAttributeNames(of: node)
    }
    func setExtendedAttribute(_ name: [UInt8], of node: NodeID, to value: [UInt8], _ mode: AttributeWriteMode)
        throws(VFSError)
    { try host.setExtendedAttribute(name, of: node, to: value, mode) }
    func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) {
        try host.removeExtendedAttribute(name, of: node)
    }
    func statistics() throws(VFSError) -> Statistics { try host.statistics() }
    func commit(_ node: NodeID?, dataOnly: Bool) throws(VFSError) -> any DurabilityTicket {
        try host.commit(node, dataOnly: dataOnly)
    }
}
