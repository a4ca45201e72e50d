import CLinux
import Glibc
public import VFS

extension Attributes {
    init(_ status: casemate_status, of node: HostNode) {
        self.init(
            node: NodeID(rawValue: node.number), kind: node.kind, permissions: UInt16(status.mode & 0o7777),
            linkCount: status.links, owner: status.user, group: status.group, size: status.size,
            blocks512: status.blocks512, device: status.rdev, accessTime: Timestamp(status.accessed),
            modificationTime: Timestamp(status.modified), changeTime: Timestamp(status.changed),
            birthTime: Timestamp(status.born), preferredBytes: status.preferred_bytes)
    }
}

extension Timestamp {
    init(_ time: timespec) {
        self.init(seconds: Int64(time.tv_sec), nanoseconds: UInt32(clamping: time.tv_nsec))
    }
}

extension HostFS {
    public func attributes(_ node: NodeID) throws(VFSError) -> Attributes {
        let file = try self.node(node)
        return Attributes(try table.descriptor(of: file).status(), of: file)
    }

    /// One host call per kind of change, in the order size, owner, permissions, times; those before a failure stay.
    /// - Throws: `ENOTSUP` for permissions of a symbolic link, `EISDIR`, `EINVAL`; what the host says.
    public func setAttributes(_ node: NodeID, _ change: AttributeChange, by caller: Caller)
        throws(VFSError) -> Attributes
    {
        try requireWritable()
        let file = try self.node(node)
        let descriptor = try table.descriptor(of: file)
        if change.permissions != nil, file.kind == .symbolicLink { throw VFSError(.notSupported) }
        let times = [try timespec(change.accessTime), try timespec(change.modificationTime)]
        if let size = change.size {
            guard file.kind == .regular else {
                throw VFSError(file.kind == .directory ? .isDirectory : .invalidArgument)
            }
            guard let size = off_t(exactly: size) else { throw VFSError(.fileTooLarge) }
            _ = try descriptor.call { casemate_truncate($0, size) }
        }
        if change.owner != nil || change.group != nil {
            _ = try descriptor.call {
                casemate_change_owner($0, change.owner ?? uid_t.max, change.group ?? gid_t.max)
            }
        }
        if let permissions = change.permissions {
            _ = try descriptor.call { casemate_change_mode($0, mode_t(permissions & 0o7777)) }
        }
        if change.accessTime != nil || change.modificationTime != nil {
            _ = try descriptor.call { casemate_change_times($0, times) }
        }
        if change.clearsPrivileges { try clearPrivileges(file) }
        return Attributes(try descriptor.status(), of: file)
    }

    /// The host does not do it for us where this process is privileged. File capabilities it drops on any write.
    func clearPrivileges(_ file: HostNode) throws(VFSError) {
        guard file.kind == .regular else { return }
        let descriptor = try table.descriptor(of: file)
        let mode = try descriptor.status().mode
        var cleared = mode & ~0o4000
        if mode & 0o010 != 0 { cleared &= ~0o2000 }
        guard cleared != mode else { return }
        _ = try descriptor.call { casemate_change_mode($0, mode_t(cleared & 0o7777)) }
    }

    private func timespec(_ time: AttributeChange.Time?) throws(VFSError) -> Glibc.timespec {
        switch time {
        case nil: return Glibc.timespec(tv_sec: 0, tv_nsec: CASEMATE_TIME_OMIT)
        case .now: return Glibc.timespec(tv_sec: 0, tv_nsec: CASEMATE_TIME_NOW)
        case .exact(let time):
            guard time.nanoseconds < 1_000_000_000 else { throw VFSError(.invalidArgument) }
            return Glibc.timespec(tv_sec: Int(time.seconds), tv_nsec: Int(time.nanoseconds))
        }
    }
}
