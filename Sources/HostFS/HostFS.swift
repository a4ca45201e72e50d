import CLinux
import Glibc
import Synchronization
public import VFS

/// A directory of the host, and nothing outside it.
///
/// **Confinement.** Every file is reached from its parent's descriptor by one component that is neither `.` nor `..`
/// and holds no `/`, opened with `O_PATH|O_NOFOLLOW`; a symbolic link is handed out as a link and never followed, and the
/// host's `..` is never asked. So no link and no name leads out, whatever the host renames meanwhile. A directory that the
/// host itself moves out of the tree stays usable to those who have it looked up. Files are named by device and inode,
/// and a descriptor keeps each one in use; FIFOs, sockets and devices are never opened.
///
/// **Trust.** What comes from here is as trustworthy as the host. The filesystem acts with this process's rights inside
/// the directory: where it runs as root, its callers can make set-user-ID programs and device nodes there, so the
/// directory should lie on a `nosuid,nodev` mount.
///
/// Files in use hold descriptors: directories always, others as far as half of the process's limit of open files allows;
/// beyond that they are found again by name, and a file that the host replaced meanwhile is `ESTALE`. The first HostFS
/// raises the process's soft limit to its hard limit.
public final class HostFS: FileSystem {
    public let root: NodeID
    public let traits: Traits
    let table: NodeTable
    private let opens = Mutex<Opens>(Opens())

    private struct Opens {
        var next: UInt64 = 1
        var files: [UInt64: HostOpen] = [:]
    }

    /// - Parameters:
    ///   - path: an existing directory; symbolic links in this path are followed, once, now.
    ///   - readOnly: refuse changes with `EROFS`.
    /// - Throws: `ENOENT`, `ENOTDIR`, `EACCES`; `ENOSYS` where `/proc` is not mounted.
    public convenience init(root path: String, readOnly: Bool) throws(VFSError) {
        try self.init(root: path, readOnly: readOnly, descriptorLimit: Self.raisedDescriptorLimit() / 2)
    }

    /// - Parameter descriptorLimit: how many descriptors files that are no directories may hold, about.
    package init(root path: String, readOnly: Bool, descriptorLimit: Int) throws(VFSError) {
        let descriptor: Descriptor
        do throws(VFSError) {
            descriptor = Descriptor(try HostCall.checked { Array(path.utf8).withCString(casemate_open_root) })
        } catch {
            throw VFSError(error.errno, fault: "\(path): \(error.errno)")
        }
        do throws(VFSError) {
            _ = Descriptor(try descriptor.call(casemate_path_of))
        } catch {
            throw VFSError(.noFunction, fault: "/proc/self/fd cannot be used: \(error.errno)")
        }
        table = NodeTable(root: descriptor, try descriptor.status(), descriptorLimit: descriptorLimit)
        root = NodeID(rawValue: table.root.number)
        traits = Traits(
            ownsState: false, readOnly: readOnly, maximumFileBytes: UInt64(Int64.max), typeName: "hostfs")
    }

    /// The process's limit of open files, after its soft limit went up to the hard one.
    private static func raisedDescriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        let soft = limit.rlim_cur
        limit.rlim_cur = limit.rlim_max
        let raised = soft < limit.rlim_max && setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        return Int(clamping: raised ? limit.rlim_max : soft)
    }

    /// - Throws: `ESTALE` for a number that names no file in use.
    func node(_ node: NodeID) throws(VFSError) -> HostNode {
        guard let found = table[node.rawValue] else { throw VFSError(.staleNFSFileHandle) }
        return found
    }

    /// - Throws: `ENOTDIR`, `ESTALE`.
    func directory(_ id: NodeID) throws(VFSError) -> HostDirectory {
        let node = try node(id)
        guard let descriptor = node.directory else { throw VFSError(.notDirectory) }
        return HostDirectory(node: node, descriptor: descriptor)
    }

    func requireWritable() throws(VFSError) {
        if traits.readOnly { throw VFSError(.readOnlyFileSystem) }
    }

    /// - Throws: `EBADF`.
    func file(_ handle: Handle) throws(VFSError) -> HostOpen {
        guard let file = opens.withLock({ $0.files[handle.rawValue] }) else { throw VFSError(.badFileDescriptor) }
        return file
    }

    /// Opens not closed yet.
    package var openFileCount: Int { opens.withLock { $0.files.count } }

    /// Files looked up or open, the root included.
    package var filesInUse: Int { table.count }
    /// Descriptors held for looking up files that are no directories.
    package var heldDescriptors: Int { table.descriptorCount }

    func add(_ file: HostOpen) -> Handle {
        opens.withLock { opens in
            defer { opens.next += 1 }
            opens.files[opens.next] = file
            return Handle(rawValue: opens.next)
        }
    }

    func remove(_ handle: Handle) -> HostOpen? { opens.withLock { $0.files.removeValue(forKey: handle.rawValue) } }

    /// The host filesystem's own figures; a quota of the process is not in them.
    public func statistics() throws(VFSError) -> Statistics {
        var found = statvfs()
        _ = try table.rootDescriptor.call { fstatvfs($0, &found) }
        let scale = max(UInt64(found.f_frsize), 1)
        return Statistics(
            blockBytes: UInt32(clamping: scale), totalBlocks: UInt64(found.f_blocks),
            freeBlocks: UInt64(found.f_bfree),
            availableBlocks: min(UInt64(found.f_bavail), UInt64(found.f_bfree)), totalNodes: UInt64(found.f_files),
            freeNodes: UInt64(found.f_ffree), maximumNameBytes: UInt32(clamping: found.f_namemax))
    }

    /// Syncs at once: `fsync(2)` or `fdatasync(2)` of one file, `syncfs(2)` of the root's filesystem for `nil`.
    public func commit(_ node: NodeID?, dataOnly: Bool) throws(VFSError) -> any DurabilityTicket {
        guard let node else {
            let descriptor = try table.rootDescriptor.reopen(O_RDONLY | O_DIRECTORY)
            _ = try descriptor.call(casemate_sync_filesystem)
            return ImmediateTicket()
        }
        let file = try self.node(node)
        // The others have nothing of their own to sync: a link's target goes with its directory.
        guard file.kind == .regular || file.kind == .directory else { return ImmediateTicket() }
        let descriptor = try table.descriptor(of: file).reopen(O_RDONLY)
        _ = try descriptor.call { dataOnly ? fdatasync($0) : fsync($0) }
        return ImmediateTicket()
    }
}
