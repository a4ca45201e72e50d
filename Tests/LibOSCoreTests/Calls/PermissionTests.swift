import LibOSCore
import Testing
import VFS

/// Who may do what: `path_resolution(7)`, `chmod(2)`, `chown(2)`, `utimensat(2)`, `unlink(2)`, `xattr(7)`.
@Suite struct PermissionTests {
    /// Every permission word against owner, group member and stranger.
    @Test func classesDecide() throws {
        let it = Fixture()
        try it.root.put("/file")
        try it.root.chown("/file", owner: 1, group: 50)
        let contexts: [(FileContext, UInt16)] = [
            (it.user(1, group: 50), 6), (it.user(2, group: 50), 3), (it.user(3, groups: [9, 50]), 3),
            (it.user(4), 0), (it.user(1), 6),
        ]
        for permissions in UInt16(0)...0o777 {
            try it.root.chmod("/file", permissions)
            for (context, shift) in contexts {
                for wanted in UInt16(1)...7 {
                    let allowed = permissions >> shift & wanted == wanted
                    let access = Access(rawValue: wanted)
                    if allowed {
                        #expect(throws: Never.self) { try context.access("/file", access) }
                    } else {
                        expect(.permissionDenied) { try context.access("/file", access) }
                    }
                }
            }
            let runs = permissions & 0o111 != 0
            #expect(throws: Never.self) { try it.root.access("/file", [.read, .write]) }
            if !runs { expect(.permissionDenied) { try it.root.access("/file", .execute) } }
        }
    }

    @Test func directoriesNeedSearchAndWrite() throws {
        let it = Fixture()
        let user = it.user(7)
        try it.root.mkdir("/d", permissions: 0o755)
        try it.root.put("/d/file", "x", permissions: 0o666)
        expect(.permissionDenied) { try user.put("/d/new") }
        expect(.permissionDenied) { try user.unlink("/d/file") }
        expect(.permissionDenied) { try user.rename("/d/file", "/d/other") }
        expect(.permissionDenied) { try user.mkdir("/d/sub", permissions: 0o755) }
        expect(.permissionDenied) { try user.symlink("x", "/d/link") }
        expect(.permissionDenied) { try user.link("/d/file", "/d/link") }
        #expect(throws: Never.self) { try user.put("/d/file", "writable") }
        // Readable and not searchable: names only.
        try it.root.chmod("/d", 0o744)
        #expect(try user.list("/d") == ["file"])
        expect(.permissionDenied) { try user.stat("/d/file") }
        expect(.permissionDenied) { try user.stat("/d/absent") }
        expect(.permissionDenied) { try user.chdir("/d") }
        // Searchable and not readable: files whose names one knows.
        try it.root.chmod("/d", 0o711)
        #expect(try user.text("/d/file") == "writable")
        expect(.permissionDenied) { try user.list("/d") }
    }

    @Test func stickyDirectories() throws {
        let it = Fixture()
        try it.root.mkdir("/tmp", permissions: 0o1777)
        let alice = it.user(1)
        let bob = it.user(2)
        try alice.put("/tmp/hers", "a")
        try alice.mkdir("/tmp/dir", permissions: 0o777)
        try bob.put("/tmp/his", "b")
        expect(.notPermitted) { try bob.unlink("/tmp/hers") }
        expect(.notPermitted) { try bob.rmdir("/tmp/dir") }
        expect(.notPermitted) { try bob.rename("/tmp/hers", "/tmp/x") }
        expect(.notPermitted) { try bob.rename("/tmp/his", "/tmp/hers") }
        try alice.rename("/tmp/hers", "/tmp/renamed")
        try alice.unlink("/tmp/renamed")
        try it.root.unlink("/tmp/his")
        try it.root.chown("/tmp", owner: 2, group: 0)
        try bob.rmdir("/tmp/dir")
        #expect(try it.root.list("/tmp") == [])
    }

    @Test func ownersChangeModes() throws {
        let it = Fixture()
        try it.root.put("/file")
        try it.root.chown("/file", owner: 1, group: 50)
        let owner = it.user(1, group: 100)
        expect(.notPermitted) { try it.user(2).chmod("/file", 0o777) }
        try owner.chmod("/file", 0o6755)
        // Not of the file's group: no set-group-ID.
        #expect(try it.root.stat("/file").permissions == 0o4755)
        try it.user(1, groups: [50]).chmod("/file", 0o6755)
        #expect(try it.root.stat("/file").permissions == 0o6755)
        try it.root.symlink("file", "/link")
        expect(.notSupported) { try owner.chmod("/link", 0o700, follow: false) }
        try owner.chmod("/link", 0o700)
        #expect(try it.root.stat("/file").permissions == 0o700)
    }

    @Test func ownersChangeGroupsOfTheirs() throws {
        let it = Fixture()
        try it.root.put("/file")
        try it.root.chown("/file", owner: 1, group: 100)
        try it.root.chmod("/file", 0o6755)
        let owner = it.user(1, group: 100, groups: [50])
        expect(.notPermitted) { try owner.chown("/file", owner: 2, group: nil) }
        expect(.notPermitted) { try owner.chown("/file", owner: nil, group: 60) }
        expect(.notPermitted) { try it.user(2, group: 50).chown("/file", owner: nil, group: 50) }
        try owner.chown("/file", owner: 1, group: 50)
        let found = try it.root.stat("/file")
        #expect((found.owner, found.group, found.permissions) == (1, 50, 0o755))
        try it.root.symlink("file", "/link")
        try it.root.chown("/link", owner: 9, group: 9, follow: false)
        #expect(try it.root.stat("/file").owner == 1)
        #expect(try it.root.lstat("/link").owner == 9)
    }

    @Test func timesBelongToOwners() throws {
        let it = Fixture()
        try it.root.put("/file", permissions: 0o646)
        try it.root.chown("/file", owner: 1, group: 50)
        let time = AttributeChange.Time.exact(Timestamp(seconds: 1, nanoseconds: 2))
        let stranger = it.user(3)
        expect(.notPermitted) { try stranger.utimens("/file", access: time, modification: time) }
        expect(.notPermitted) { try stranger.utimens("/file", access: .now, modification: nil) }
        try stranger.utimens("/file", access: .now, modification: .now)
        try stranger.utimens("/file", access: nil, modification: nil)
        expect(.permissionDenied) { try it.user(4, group: 50).utimens("/file", access: .now, modification: .now) }
        try it.user(1).utimens("/file", access: time, modification: time)
        #expect(try it.root.stat("/file").modificationTime == Timestamp(seconds: 1, nanoseconds: 2))
        expect(.invalidArgument) {
            try it.root.utimens(
                "/file", access: .exact(Timestamp(seconds: 0, nanoseconds: 1_000_000_000)), modification: nil)
        }
    }

    @Test func unprivilegedWritersClearPrivileges() throws {
        let it = Fixture()
        try it.root.put("/file", "x")
        func reset() throws { try it.root.chmod("/file", 0o6777) }
        let user = it.user(3)
        try reset()
        let file = try user.open("/file", .writeOnly)
        #expect(try it.root.stat("/file").permissions == 0o6777)
        _ = try user.write(file, [1])
        #expect(try it.root.stat("/file").permissions == 0o777)
        try reset()
        try user.ftruncate(file, to: 0)
        #expect(try it.root.stat("/file").permissions == 0o777)
        try reset()
        try user.close(try user.open("/file", [.writeOnly, .truncate]))
        #expect(try it.root.stat("/file").permissions == 0o777)
        try reset()
        let rooted = try it.root.open("/file", .writeOnly)
        _ = try it.root.write(rooted, [1])
        #expect(try it.root.stat("/file").permissions == 0o6777)
    }

    @Test func newFilesBelongToTheirMaker() throws {
        let it = Fixture()
        // mkdir(2) does not take set-group-ID; chmod(2) does.
        try it.root.mkdir("/d", permissions: 0o2777)
        #expect(try it.root.stat("/d").permissions == 0o777)
        try it.root.chown("/d", owner: 0, group: 70)
        try it.root.chmod("/d", 0o2777)
        let user = it.user(5, group: 6)
        try user.mkdir("/d/sub", permissions: 0o777)
        let found = try it.root.stat("/d/sub")
        #expect((found.owner, found.group, found.permissions) == (5, 70, 0o2755))
        expect(.notPermitted) { try user.mknod("/d/device", .blockDevice, permissions: 0o600, device: 1) }
        try user.mknod("/d/fifo", .fifo, permissions: 0o666)
        #expect(try it.root.stat("/d/fifo").permissions == 0o644)
    }

    /// A directory whose `..` changes must be writable itself.
    @Test func movingADirectoryNeedsWritingIt() throws {
        let it = Fixture()
        for path: Path in ["/a", "/b"] { try it.root.mkdir(path, permissions: 0o777) }
        try it.root.mkdir("/a/d", permissions: 0o755)
        let user = it.user(5)
        expect(.permissionDenied) { try user.rename("/a/d", "/b/d") }
        try user.rename("/a/d", "/a/e")
        try it.root.chmod("/a/e", 0o757)
        try user.rename("/a/e", "/b/e")
    }

    @Test func extendedAttributesFollowTheirNamespace() throws {
        let it = Fixture()
        try it.root.put("/file", permissions: 0o644)
        try it.root.symlink("file", "/link")
        try it.root.setxattr("/file", "user.a", [1])
        try it.root.setxattr("/file", "trusted.b", [2])
        try it.root.setxattr("/file", "security.c", [3])
        let user = it.user(5)
        #expect(try user.getxattr("/file", "user.a") == [1])
        expect(.noSuchAttribute) { try user.getxattr("/file", "trusted.b") }
        #expect(try user.getxattr("/file", "security.c") == [3])
        #expect(Set(try user.listxattr("/file")) == [Array("user.a".utf8), Array("security.c".utf8)])
        expect(.permissionDenied) { try user.setxattr("/file", "user.a", [9]) }
        expect(.notPermitted) { try user.setxattr("/file", "trusted.b", [9]) }
        expect(.notPermitted) { try user.removexattr("/file", "security.c") }
        expect(.notPermitted) { try it.root.setxattr("/link", "user.a", [1], follow: false) }
        try it.root.chmod("/file", 0o600)
        expect(.permissionDenied) { try user.getxattr("/file", "user.a") }
        #expect(try it.root.getxattr("/file", "trusted.b") == [2])
    }
}
