/// A POSIX access control list, `acl(5)`: as the kernel keeps it in an extended attribute, and its rules.
///
///     offset  size  field
///          0     4  version, 2
///          4    8n  entries: tag (2), permissions (2), user or group (4; all ones where the tag needs none)
public struct AccessControlList: Hashable, Sendable {
    /// Whom an entry is for; the numbers are stored, and order a list.
    public enum Tag: UInt16, Sendable {
        case owner = 0x01
        case user = 0x02
        case owningGroup = 0x04
        case group = 0x08
        /// The most that all but the owner and others get.
        case mask = 0x10
        case other = 0x20
    }

    public struct Entry: Hashable, Sendable {
        public var tag: Tag
        /// Read 4, write 2, execute 1.
        public var permissions: UInt16
        /// Of ``Tag/user`` and ``Tag/group``; else all ones.
        public var identifier: UInt32
        public init(_ tag: Tag, _ permissions: UInt16, identifier: UInt32 = .max) {
            self.tag = tag
            self.permissions = permissions
            self.identifier = identifier
        }
    }

    /// The attribute that decides access to a file.
    public static let accessName = Array("system.posix_acl_access".utf8)
    /// The attribute of a directory that what is made in it begins with.
    public static let defaultName = Array("system.posix_acl_default".utf8)

    public static func isName(_ name: [UInt8]) -> Bool { name == accessName || name == defaultName }

    private static let version: UInt32 = 2

    public private(set) var entries: [Entry]

    /// - Throws: `EINVAL` for entries that are no list: out of order, one of the three classes missing, a named entry
    ///   without a mask.
    public init(_ entries: [Entry]) throws(VFSError) {
        var counts: [Tag: Int] = [:]
        for (index, entry) in entries.enumerated() {
            guard entry.permissions <= 7, index == 0 || entries[index - 1].tag.rawValue <= entry.tag.rawValue else {
                throw VFSError(.invalidArgument)
            }
            let isNamed = entry.tag == .user || entry.tag == .group
            guard !isNamed || entry.identifier != .max else { throw VFSError(.invalidArgument) }
            counts[entry.tag, default: 0] += 1
        }
        let hasNamed = counts[.user] != nil || counts[.group] != nil
        guard counts[.owner] == 1, counts[.owningGroup] == 1, counts[.other] == 1, counts[.mask, default: 0] <= 1,
            !hasNamed || counts[.mask] == 1
        else { throw VFSError(.invalidArgument) }
        self.entries = entries
    }

    /// Reads an attribute's value; `nil` for an empty one and for a list without entries, which stand for none, as with
    /// `setxattr(2)` on Linux.
    /// - Throws: `EINVAL`, `ENOTSUP` for another version.
    public init?(attribute: [UInt8]) throws(VFSError) {
        func number(_ offset: Int, _ bytes: Int) -> UInt32 {
            (0..<bytes).reduce(0) { $0 | UInt32(attribute[offset + $1]) << UInt32(8 * $1) }
        }
        if attribute.isEmpty { return nil }
        guard attribute.count >= 4, (attribute.count - 4) % 8 == 0 else { throw VFSError(.invalidArgument) }
        guard number(0, 4) == Self.version else { throw VFSError(.notSupported) }
        var entries: [Entry] = []
        for offset in stride(from: 4, to: attribute.count, by: 8) {
            guard let tag = Tag(rawValue: UInt16(number(offset, 2))) else { throw VFSError(.invalidArgument) }
            let isNamed = tag == .user || tag == .group
            entries.append(
                Entry(tag, UInt16(number(offset + 2, 2)), identifier: isNamed ? number(offset + 4, 4) : .max))
        }
        if entries.isEmpty { return nil }
        try self.init(entries)
    }

    /// As the attribute holds it.
    public var attribute: [UInt8] {
        var bytes: [UInt8] = []
        func append(_ number: UInt32, _ count: Int) {
            for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: number >> UInt32(8 * index))) }
        }
        append(Self.version, 4)
        for entry in entries {
            append(UInt32(entry.tag.rawValue), 2)
            append(UInt32(entry.permissions), 2)
            append(entry.identifier, 4)
        }
        return bytes
    }

    private func index(_ tag: Tag) -> Int? { entries.firstIndex { $0.tag == tag } }

    private func permissions(_ tag: Tag) -> UInt16? { index(tag).map { entries[$0].permissions } }

    /// Says no more than nine permission bits can.
    public var isMinimal: Bool { entries.count == 3 }

    /// The nine permission bits that go with the list: its mask stands for the group where it has one.
    public var permissionBits: UInt16 {
        let group = permissions(.mask) ?? permissions(.owningGroup) ?? 0
        return (permissions(.owner) ?? 0) << 6 | group << 3 | (permissions(.other) ?? 0)
    }

    /// Follows a `chmod(2)`.
    public mutating func change(to bits: UInt16) {
        set(.owner, bits >> 6 & 7)
        set(index(.mask) == nil ? .owningGroup : .mask, bits >> 3 & 7)
        set(.other, bits & 7)
    }

    /// Takes what a file made with these bits may not get from the list, as for a file made under a default list.
    public mutating func restrict(to bits: UInt16) {
        set(.owner, (permissions(.owner) ?? 0) & bits >> 6 & 7)
        let group: Tag = index(.mask) == nil ? .owningGroup : .mask
        set(group, (permissions(group) ?? 0) & bits >> 3 & 7)
        set(.other, (permissions(.other) ?? 0) & bits & 7)
    }

    private mutating func set(_ tag: Tag, _ permissions: UInt16) {
        if let index = index(tag) { entries[index].permissions = permissions }
    }

    /// The algorithm of `acl(5)` for somebody who is not privileged.
    /// - Parameters:
    ///   - wanted: permission bits, all of which are needed.
    ///   - owner: the file's.
    ///   - group: the file's.
    public func allows(_ wanted: UInt16, to caller: Caller, owner: UInt32, group: UInt32) -> Bool {
        let mask = permissions(.mask) ?? 7
        func has(_ granted: UInt16) -> Bool { granted & wanted == wanted }
        if caller.user == owner { return has(permissions(.owner) ?? 0) }
        if let entry = entries.first(where: { $0.tag == .user && $0.identifier == caller.user }) {
            return has(entry.permissions & mask)
        }
        func isMember(_ group: UInt32) -> Bool { caller.group == group || caller.groups.contains(group) }
        var isInGroup = false
        for entry in entries {
            switch entry.tag {
            case .owningGroup where isMember(group), .group where isMember(entry.identifier):
                isInGroup = true
                if has(entry.permissions & mask) { return true }
            default: break
            }
        }
        return isInGroup ? false : has(permissions(.other) ?? 0)
    }
}

/// What a new file begins with.
public struct Inheritance: Sendable {
    /// The low nine permission bits; the three above are as asked for.
    public var permissions: UInt16
    /// Its access list; `nil` where the bits say it all.
    public var access: AccessControlList?
    /// A directory's default list.
    public var defaults: AccessControlList?

    /// - Parameters:
    ///   - new: what is made.
    ///   - defaults: the default list of the directory that it is made in: where there is one it takes the umask's place.
    public init(_ new: NewNode, under defaults: AccessControlList?) {
        let asked = new.permissions & 0o7777
        guard var list = defaults, new.kind != .symbolicLink else {
            permissions = new.kind == .symbolicLink ? 0o777 : asked & ~(new.umask & 0o777)
            return
        }
        list.restrict(to: asked)
        permissions = asked & 0o7000 | list.permissionBits
        access = list.isMinimal ? nil : list
        self.defaults = new.kind == .directory ? defaults : nil
    }
}

extension FileSystem {
    /// After a new access list was stored by `caller`: set-group-ID goes where a `chmod(2)` of theirs would take it
    /// (`posix_acl_update_mode` of Linux does so).
    package func dropForeignSetGroup(of node: NodeID, by caller: Caller) throws(VFSError) {
        guard caller.user != 0 else { return }
        let file = try attributes(node)
        guard file.permissions & 0o2000 != 0, caller.group != file.group, !caller.groups.contains(file.group) else {
            return
        }
        var change = AttributeChange()
        change.permissions = file.permissions & ~0o2000
        _ = try setAttributes(node, change, by: caller)
    }
}
