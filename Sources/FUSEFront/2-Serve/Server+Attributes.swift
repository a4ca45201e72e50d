import CFUSE
import Glibc
import VFS

/// Attributes of files and of the filesystem.
extension Server {
    func attributes(_ raw: OpaquePointer?, _ node: UInt64) {
        serve(raw, "getattr \(node)") { request throws(VFSError) in
            request.reply(try filesystem.attributes(nodes.node(node)))
        }
    }

    func setAttributes(_ raw: OpaquePointer?, _ node: UInt64, _ status: UnsafeMutablePointer<stat>?, _ which: Int32)
    {
        serve(raw, "setattr \(node)\(Self.described(status, which))") { request throws(VFSError) in
            guard let status = status?.pointee else { throw VFSError(.invalidArgument) }
            let node = nodes.node(node)
            let change = try change(of: node, to: status, which)
            let caller =
                change.permissions.map { $0 & 0o2000 != 0 } ?? false ? request.callerWithGroups : request.caller
            request.reply(try filesystem.setAttributes(node, change, by: caller))
        }
    }

    private func change(of node: NodeID, to status: stat, _ which: Int32) throws(VFSError) -> AttributeChange {
        var change = AttributeChange()
        if which & FUSE_SET_ATTR_MODE != 0 { change.permissions = UInt16(status.st_mode & 0o7777) }
        if which & FUSE_SET_ATTR_UID != 0 { change.owner = status.st_uid }
        if which & FUSE_SET_ATTR_GID != 0 { change.group = status.st_gid }
        if which & FUSE_SET_ATTR_SIZE != 0 {
            guard let size = UInt64(exactly: status.st_size) else { throw VFSError(.invalidArgument) }
            change.size = size
        }
        if which & FUSE_SET_ATTR_ATIME_NOW != 0 {
            change.accessTime = .now
        } else if which & FUSE_SET_ATTR_ATIME != 0 {
            change.accessTime = .exact(Timestamp(status.st_atim))
        }
        if which & FUSE_SET_ATTR_MTIME_NOW != 0 {
            change.modificationTime = .now
        } else if which & FUSE_SET_ATTR_MTIME != 0 {
            change.modificationTime = .exact(Timestamp(status.st_mtim))
        }
        guard privileges.isOurs else { return change }
        if change.owner != nil || change.group != nil {
            // chown(2) clears them for everybody, root too, but not on directories.
            change.clearsPrivileges = try filesystem.attributes(node).kind != .directory
        } else if change.size != nil {
            change.clearsPrivileges = Worker.current.killsPrivileges
            if !change.clearsPrivileges { try dropCapabilities(of: node) }
        }
        return change
    }

    /// Any write ends a file's capabilities, also one by root that leaves set-user-ID alone.
    func dropCapabilities(of node: NodeID) throws(VFSError) {
        do throws(VFSError) { _ = try filesystem.extendedAttribute(Self.capabilities, of: node) } catch { return }
        try filesystem.removeExtendedAttribute(Self.capabilities, of: node)
    }

    private static let capabilities = Array("security.capability".utf8)

    func statistics(_ raw: OpaquePointer?, _ node: UInt64) {
        serve(raw, "statfs \(node)") { request throws(VFSError) in
            request.reply(try filesystem.statistics(of: nodes.node(node)))
        }
    }

    private static func described(_ status: UnsafeMutablePointer<stat>?, _ which: Int32) -> String {
        guard let status = status?.pointee else { return "" }
        var text = ""
        if which & FUSE_SET_ATTR_MODE != 0 { text += " mode \(String(status.st_mode & 0o7777, radix: 8))" }
        if which & FUSE_SET_ATTR_UID != 0 { text += " uid \(status.st_uid)" }
        if which & FUSE_SET_ATTR_GID != 0 { text += " gid \(status.st_gid)" }
        if which & FUSE_SET_ATTR_SIZE != 0 { text += " size \(status.st_size)" }
        if which & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW) != 0 { text += " atime" }
        if which & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW) != 0 { text += " mtime" }
        return text
    }
}
