import LibOSCore
import Testing
import VFS

/// Lists decide what calls in process may do.
@Suite struct AccessControlCallTests {
    typealias Entry = AccessControlList.Entry

    private func grant(_ it: Fixture, _ path: Path, _ user: UInt32, _ permissions: UInt16) throws {
        let list = try AccessControlList([
            Entry(.owner, 7), Entry(.user, permissions, identifier: user), Entry(.owningGroup, 0), Entry(.mask, 7),
            Entry(.other, 0),
        ])
        try it.root.setxattr(path, "system.posix_acl_access", list.attribute)
    }

    @Test func aNamedUserMayWhatTheListSays() throws {
        let it = Fixture()
        try it.root.mkdir("/d", permissions: 0o700)
        try it.root.put("/d/f", "text", permissions: 0o600)
        let (friend, stranger) = (it.user(5), it.user(6))
        expect(.permissionDenied) { try friend.text("/d/f") }
        try grant(it, "/d", 5, 5)
        try grant(it, "/d/f", 5, 4)
        #expect(try friend.text("/d/f") == "text")
        expect(.permissionDenied) { try friend.put("/d/f", "other") }
        expect(.permissionDenied) { try friend.unlink("/d/f") }
        expect(.permissionDenied) { try stranger.text("/d/f") }
        // chmod(2) of the group's bits is the mask.
        try it.root.chmod("/d/f", 0o600)
        expect(.permissionDenied) { try friend.text("/d/f") }
        try it.root.chmod("/d/f", 0o640)
        #expect(try friend.text("/d/f") == "text")
        try grant(it, "/d", 5, 7)
        try friend.unlink("/d/f")
    }

    @Test func onlyTheOwnerChangesLists() throws {
        let it = Fixture()
        try it.root.put("/f", permissions: 0o666)
        try it.root.chown("/f", owner: 5, group: 77)
        try it.root.chmod("/f", 0o2775)
        let (owner, other) = (it.user(5), it.user(6))
        let list = try AccessControlList([Entry(.owner, 7), Entry(.owningGroup, 7), Entry(.other, 5)]).attribute
        expect(.notPermitted) { try other.setxattr("/f", "system.posix_acl_access", list) }
        expect(.notPermitted) { try other.removexattr("/f", "system.posix_acl_access") }
        try owner.setxattr("/f", "system.posix_acl_access", list)
        // As with chmod(2), outsiders of the group lose its set-group-ID.
        #expect(try owner.stat("/f").permissions == 0o775)
    }

    @Test func theUmaskGivesWayToADefaultList() throws {
        let it = Fixture()
        try it.root.mkdir("/d", permissions: 0o777)
        let list = try AccessControlList([Entry(.owner, 7), Entry(.owningGroup, 7), Entry(.other, 7)]).attribute
        try it.root.setxattr("/d", "system.posix_acl_default", list)
        let user = it.user(5)
        try user.put("/d/f", permissions: 0o666)
        #expect(try user.stat("/d/f").permissions == 0o666)
        try user.mkdir("/d/e", permissions: 0o777)
        #expect(try user.stat("/d/e").permissions == 0o777)
        #expect(try user.listxattr("/d/e") == [Array("system.posix_acl_default".utf8)])
    }
}
