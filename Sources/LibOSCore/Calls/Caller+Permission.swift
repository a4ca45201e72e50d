import VFS

/// What a permission is asked for, as `access(2)` numbers it.
public struct Access: OptionSet, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// Of a directory: search.
    public static let execute = Access(rawValue: 1)
    public static let write = Access(rawValue: 2)
    public static let read = Access(rawValue: 4)
}

/// The rules of `path_resolution(7)` and `capabilities(7)`, with user 0 holding every capability.
extension Caller {
    var isPrivileged: Bool { user == 0 }

    func isMember(of group: UInt32) -> Bool { self.group == group || groups.contains(group) }

    func owns(_ file: Attributes) -> Bool { isPrivileged || file.owner == user }

    /// One class decides: the owner's bits for the owner even where the group's would allow more.
    /// - Parameter list: of the file, if it has one.
    func may(_ access: Access, _ file: Attributes, _ list: AccessControlList?) -> Bool {
        if isPrivileged {
            // CAP_DAC_OVERRIDE runs a file only where somebody may.
            return !access.contains(.execute) || file.kind == .directory || file.permissions & 0o111 != 0
        }
        if let list { return list.allows(access.rawValue, to: self, owner: file.owner, group: file.group) }
        let shift: UInt16 = file.owner == user ? 6 : isMember(of: file.group) ? 3 : 0
        return Access(rawValue: file.permissions >> shift & 7).isSuperset(of: access)
    }
}

extension Namespace {
    /// - Parameter file: by the namespace's number.
    /// - Throws: `EACCES`.
    func require(_ access: Access, _ file: Attributes, by caller: Caller) throws(VFSError) {
        var list: AccessControlList?
        // As on Linux: the owner's bits decide for the owner, and without any group bits no list can give more.
        if file.mayHaveAccessControlList, !caller.isPrivileged, file.owner != caller.user,
            file.permissions & 0o070 != 0
        {
            list = try accessControlList(of: file.node)
        }
        guard caller.may(access, file, list) else { throw VFSError(.permissionDenied) }
    }

    private func accessControlList(of node: NodeID) throws(VFSError) -> AccessControlList? {
        let stored: [UInt8]
        do throws(VFSError) {
            stored = try extendedAttribute(AccessControlList.accessName, of: node)
        } catch {
            guard error.errno == .noSuchAttribute || error.errno == .notSupported else { throw error }
            return nil
        }
        return try AccessControlList(attribute: stored)
    }

    /// Whether a name for `file` may go from `directory`: a sticky directory lets only owners, `inode(7)`.
    /// - Throws: `EACCES` without the right to write and search, `EPERM` for the sticky bit.
    func requireRemoval(of file: Attributes, from directory: Attributes, by caller: Caller) throws(VFSError) {
        try require([.write, .execute], directory, by: caller)
        guard directory.permissions & 0o1000 != 0, !caller.isPrivileged else { return }
        guard file.owner == caller.user || directory.owner == caller.user else { throw VFSError(.notPermitted) }
    }
}
