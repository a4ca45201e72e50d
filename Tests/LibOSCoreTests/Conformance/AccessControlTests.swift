import Testing
import VFS

/// Access control lists as `acl(5)` has them: what a filesystem keeps, and how it stays with the permission bits.
@Suite struct AccessControlTests {
    typealias Entry = AccessControlList.Entry

    static let access = AccessControlList.accessName
    static let defaults = AccessControlList.defaultName

    /// `u::rw-,u:7:rwx,g::r--,m::rw-,o::---`
    static func list(mask: UInt16 = 6) throws -> AccessControlList {
        try AccessControlList([
            Entry(.owner, 6), Entry(.user, 7, identifier: 7), Entry(.owningGroup, 4), Entry(.mask, mask),
            Entry(.other, 0),
        ])
    }

    private func stored(_ it: Specimen, _ node: NodeID, _ name: [UInt8] = access) throws -> AccessControlList? {
        try AccessControlList(attribute: it.files.extendedAttribute(name, of: node))
    }

    @Test(arguments: Subject.having(.accessControlLists)) func listAndBitsGoTogether(_ subject: Subject) throws {
        let it = try subject.make()
        let node = try it.file("f", permissions: 0o4755)
        expect(.noSuchAttribute) { try it.files.extendedAttribute(Self.access, of: node) }
        try it.files.setExtendedAttribute(Self.access, of: node, to: Self.list().attribute, .createOrReplace)
        #expect(try it.attributes(node).permissions == 0o4660)
        #expect(try it.attributes(node).mayHaveAccessControlList)
        #expect(try stored(it, node) == Self.list())
        #expect(try it.files.extendedAttributeNames(of: node) == [Self.access])
        // chmod(2) goes to the mask, not to the group's entry.
        try it.set(node) { $0.permissions = 0o705 }
        let after = try stored(it, node)
        #expect(after?.permissionBits == 0o705)
        #expect(after?.entries.contains(Entry(.owningGroup, 4)) ?? false)
        // A list that says no more than the bits is not kept.
        let minimal = try AccessControlList([Entry(.owner, 6), Entry(.owningGroup, 4), Entry(.other, 4)])
        try it.files.setExtendedAttribute(Self.access, of: node, to: minimal.attribute, .createOrReplace)
        #expect(try it.attributes(node).permissions == 0o644)
        expect(.noSuchAttribute) { try it.files.extendedAttribute(Self.access, of: node) }
        try it.files.removeExtendedAttribute(Self.access, of: node)
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.accessControlLists)) func whatIsNoListIsRefused(_ subject: Subject) throws {
        let it = try subject.make()
        let node = try it.file("f")
        func set(_ value: [UInt8], _ name: [UInt8] = Self.access, on node: NodeID) throws {
            try it.files.setExtendedAttribute(name, of: node, to: value, .createOrReplace)
        }
        let sound = try Self.list().attribute
        expect(.invalidArgument) { try set(sound.dropLast(), on: node) }
        expect(.notSupported) { try set([3, 0, 0, 0] + sound.dropFirst(4), on: node) }
        // Without its mask, out of order, with an unknown tag.
        expect(.invalidArgument) { try set(Array(sound[..<28] + sound[36...]), on: node) }
        expect(.invalidArgument) {
            try set(Array(sound[..<4] + sound[12..<20] + sound[4..<12] + sound[20...]), on: node)
        }
        expect(.invalidArgument) { try set(sound[..<4] + [3, 0] + sound[6...], on: node) }
        expect(.permissionDenied) { try set(sound, Self.defaults, on: node) }
        let link = try it.files.make(
            NewNode(kind: .symbolicLink, permissions: 0o777, target: [65]), named: name("l"), in: it.root, by: .root
        )
        expect(.notSupported) { try set(sound, on: link.node) }
        // An empty list takes the list away, and so does an empty value.
        for nothing in [[2, 0, 0, 0], []] as [[UInt8]] {
            try set(sound, on: node)
            try set(nothing, on: node)
            expect(.noSuchAttribute) { try it.files.extendedAttribute(Self.access, of: node) }
        }
        #expect(try it.attributes(node).permissions == 0o660)
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.accessControlLists)) func defaultsAreInherited(_ subject: Subject) throws {
        let it = try subject.make()
        let directory = try it.directory("d")
        try it.files.setExtendedAttribute(Self.defaults, of: directory, to: Self.list(mask: 7).attribute, .create)
        #expect(try it.attributes(directory).permissions == 0o755)
        func make(_ kind: NodeKind, _ text: String, _ permissions: UInt16) throws -> NodeID {
            let target: [UInt8] = kind == .symbolicLink ? [65] : []
            let new = NewNode(kind: kind, permissions: permissions, umask: 0o077, target: target)
            return try it.files.make(new, named: name(text), in: directory, by: .root).node
        }
        // The umask does not count; what was asked for does.
        let file = try make(.regular, "f", 0o666)
        #expect(try it.attributes(file).permissions == 0o660)
        #expect(try stored(it, file) == Self.list(mask: 6))
        let lesser = try make(.regular, "g", 0o640)
        #expect(try it.attributes(lesser).permissions == 0o640)
        #expect(try stored(it, lesser) == Self.list(mask: 4))
        let below = try make(.directory, "below", 0o777)
        #expect(try stored(it, below, Self.defaults) == Self.list(mask: 7))
        #expect(try it.attributes(below).permissions == 0o670)
        let link = try make(.symbolicLink, "l", 0o777)
        #expect(try it.files.extendedAttributeNames(of: link) == [])
        // Without a default list the umask counts again.
        try it.files.removeExtendedAttribute(Self.defaults, of: directory)
        #expect(try it.attributes(make(.regular, "h", 0o666)).permissions == 0o600)
        it.checkInvariants()
    }

    @Test func theAlgorithm() throws {
        let list = try AccessControlList([
            Entry(.owner, 4), Entry(.user, 6, identifier: 10), Entry(.owningGroup, 1),
            Entry(.group, 6, identifier: 20),
            Entry(.group, 4, identifier: 21), Entry(.mask, 5), Entry(.other, 2),
        ])
        func may(_ wanted: UInt16, _ user: UInt32, _ groups: UInt32...) -> Bool {
            list.allows(
                wanted, to: Caller(user: user, group: groups.first ?? 999, groups: groups), owner: 1, group: 2)
        }
        #expect(may(4, 1) && !may(2, 1))
        // The mask takes write from the named user and group, and nothing from others.
        #expect(may(4, 10) && !may(2, 10) && may(2, 11))
        #expect(may(4, 11, 20) && !may(2, 11, 20))
        // Any one of several groups must have all that is asked for; who is in a group is not among others.
        #expect(may(1, 11, 2) && !may(2, 11, 2) && !may(5, 11, 2, 21))
    }
}
