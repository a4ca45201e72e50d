public import VFS

/// Who may use which extended attributes is `xattr(7)`'s: `user` by the file's permissions, on regular files and
/// directories only; `trusted` by user 0; `security` readable by all, changed by user 0; access control lists readable by
/// all, changed by the owner.
extension FileContext {
    private enum Space { case user, trusted, security, other }

    private func space(_ name: String) -> Space {
        if name.hasPrefix("user.") { return .user }
        if name.hasPrefix("trusted.") { return .trusted }
        if name.hasPrefix("security.") { return .security }
        return .other
    }

    private func requireReading(_ name: String, of file: Attributes) throws(VFSError) {
        switch space(name) {
        case .user:
            guard file.kind == .regular || file.kind == .directory else { throw VFSError(.noSuchAttribute) }
            try namespace.require(.read, file, by: caller)
        case .trusted: guard caller.isPrivileged else { throw VFSError(.noSuchAttribute) }
        case .security, .other: break
        }
    }

    private func requireWriting(_ name: String, of file: Attributes) throws(VFSError) {
        switch space(name) {
        case .user:
            guard file.kind == .regular || file.kind == .directory else { throw VFSError(.notPermitted) }
            if file.kind == .directory, file.permissions & 0o1000 != 0, !caller.owns(file) {
                throw VFSError(.notPermitted)
            }
            try namespace.require(.write, file, by: caller)
        case .trusted, .security: guard caller.isPrivileged else { throw VFSError(.notPermitted) }
        case .other: guard caller.owns(file) else { throw VFSError(.notPermitted) }
        }
    }

    /// - Throws: as a path walk; `ENODATA`, `EACCES`, `ENOTSUP`, `ERANGE`.
    public func getxattr(_ path: Path, _ name: String, follow: Bool = true) throws(VFSError) -> [UInt8] {
        let found = try walk(path, at: .currentDirectory, follow: follow)
        try requireReading(name, of: found.attributes)
        return try namespace.extendedAttribute(Array(name.utf8), of: found.reference.node)
    }

    /// The names that the caller may know of.
    /// - Throws: as a path walk; `ENOTSUP`.
    public func listxattr(_ path: Path, follow: Bool = true) throws(VFSError) -> [[UInt8]] {
        let found = try walk(path, at: .currentDirectory, follow: follow)
        let names = try namespace.extendedAttributeNames(of: found.reference.node)
        return caller.isPrivileged ? names : names.filter { !$0.starts(with: "trusted.".utf8) }
    }

    /// - Throws: as a path walk; `EEXIST` and `ENODATA` by `mode`; `EPERM`, `EACCES`, `ENOSPC`, `ENOTSUP`, `ERANGE`,
    ///   `E2BIG`, `EROFS`.
    public func setxattr(
        _ path: Path, _ name: String, _ value: [UInt8], _ mode: AttributeWriteMode = .createOrReplace,
        follow: Bool = true
    ) throws(VFSError) {
        let found = try walk(path, at: .currentDirectory, follow: follow)
        try requireWriting(name, of: found.attributes)
        let name = Array(name.utf8)
        try namespace.setExtendedAttribute(name, of: found.reference.node, to: value, mode)
        if name == AccessControlList.accessName {
            try namespace.dropForeignSetGroup(of: found.reference.node, by: caller)
        }
    }

    /// - Throws: as ``setxattr(_:_:_:_:follow:)``.
    public func removexattr(_ path: Path, _ name: String, follow: Bool = true) throws(VFSError) {
        let found = try walk(path, at: .currentDirectory, follow: follow)
        try requireWriting(name, of: found.attributes)
        try namespace.removeExtendedAttribute(Array(name.utf8), of: found.reference.node)
    }
}
