import LibOSCore
import MemFS
import Testing
import VFS

/// `path_resolution(7)` and `symlink(7)`.
@Suite struct PathWalkTests {
    @Test func dotsAndSlashes() throws {
        let it = Fixture()
        try it.root.mkdir("/a", permissions: 0o755)
        try it.root.mkdir("/a/b", permissions: 0o755)
        try it.root.put("/a/b/file", "x")
        for path: Path in [
            "/a/b/file", "//a///b/./file", "/a/../a/b/../b/file", "/../../a/b/file", "a/b/file", "./a/b/file",
        ] {
            #expect(try it.root.text(path) == "x", "\(path)")
        }
        expect(.noSuchFileOrDirectory) { try it.root.stat("") }
        expect(.noSuchFileOrDirectory) { try it.root.stat("/a/absent") }
        expect(.noSuchFileOrDirectory) { try it.root.stat("/absent/..") }
        expect(.notDirectory) { try it.root.stat("/a/b/file/") }
        expect(.notDirectory) { try it.root.stat("/a/b/file/.") }
        expect(.notDirectory) { try it.root.stat("/a/b/file/..") }
        expect(.notDirectory) { try it.root.stat("/a/b/file/x") }
        #expect(try it.root.stat("/a/b/").kind == .directory)
        #expect(try it.root.stat("/").node == it.namespace.root)
    }

    @Test func lengths() throws {
        let it = Fixture()
        let long = String(repeating: "n", count: 255)
        try it.root.put(Path(long))
        expect(.fileNameTooLong) { try it.root.stat(Path(long + "n")) }
        expect(.fileNameTooLong) { try it.root.put(Path(long + "n")) }
        let dots = String(repeating: "./", count: 2047)
        #expect(throws: Never.self) { try it.root.stat(Path(dots)) }
        expect(.fileNameTooLong) { try it.root.stat(Path(dots + "./")) }
    }

    @Test func symbolicLinks() throws {
        let it = Fixture()
        try it.root.mkdir("/d", permissions: 0o755)
        try it.root.put("/d/file", "target")
        try it.root.symlink("file", "/d/relative")
        try it.root.symlink("/d/file", "/absolute")
        try it.root.symlink("d", "/directory")
        try it.root.symlink("nowhere", "/dangling")
        try it.root.symlink("../d/relative", "/d/up")
        for path: Path in ["/d/relative", "/absolute", "/directory/file", "/directory/relative", "/d/up"] {
            #expect(try it.root.text(path) == "target", "\(path)")
        }
        #expect(try it.root.lstat("/absolute").kind == .symbolicLink)
        #expect(try it.root.readlink("/absolute") == "/d/file")
        #expect(try it.root.lstat("/directory/").kind == .directory)
        expect(.noSuchFileOrDirectory) { try it.root.stat("/dangling") }
        expect(.tooManySymbolicLinkLevels) { try it.root.open("/absolute", .noFollow) }
        expect(.fileExists) {
            try it.root.open("/dangling", [.writeOnly, .create, .exclusive], permissions: 0o644)
        }
        // Creating through a dangling link makes its target.
        try it.root.put("/dangling", "made")
        #expect(try it.root.text("/nowhere") == "made")
        try it.root.chdir("/directory")
        #expect(try it.root.getcwd() == "/d")
    }

    @Test func loopsEndAfterFortyLinks() throws {
        let it = Fixture()
        try it.root.put("/l0", "end")
        for index in 1...41 { try it.root.symlink(Path("l\(index - 1)"), Path("/l\(index)")) }
        #expect(try it.root.text("/l40") == "end")
        expect(.tooManySymbolicLinkLevels) { try it.root.stat("/l41") }
        try it.root.symlink("self", "/self")
        expect(.tooManySymbolicLinkLevels) { try it.root.stat("/self") }
        expect(.tooManySymbolicLinkLevels) { try it.root.open("/self", [.writeOnly, .create], permissions: 0o644) }
    }

    @Test func relativeToDescriptors() throws {
        let it = Fixture()
        try it.root.mkdir("/a", permissions: 0o755)
        try it.root.mkdir("/a/b", permissions: 0o755)
        try it.root.put("/a/file", "in a")
        let directory = try it.root.open("/a/b", .directory)
        #expect(try it.root.stat("../file", at: directory).size == 4)
        #expect(try it.root.stat("/a/file", at: Descriptor(rawValue: 99)).size == 4)
        expect(.badFileDescriptor) { try it.root.stat("x", at: Descriptor(rawValue: 99)) }
        let file = try it.root.open("/a/file")
        expect(.notDirectory) { try it.root.stat("x", at: file) }
        try it.root.mkdir("c", permissions: 0o755, at: directory)
        #expect(try it.root.list("/a/b") == ["c"])
        // A directory stays what it is when it is moved.
        try it.root.rename("/a/b", "/moved")
        #expect(try it.root.stat("c", at: directory).kind == .directory)
        #expect(try it.root.stat("../a", at: directory).kind == .directory)
    }

    @Test func currentDirectory() throws {
        let it = Fixture()
        try it.root.mkdir("/a", permissions: 0o755)
        try it.root.mkdir("/a/b", permissions: 0o755)
        #expect(try it.root.getcwd() == "/")
        try it.root.chdir("a/b")
        #expect(try it.root.getcwd() == "/a/b")
        try it.root.chdir("..")
        #expect(try it.root.getcwd() == "/a")
        try it.root.put("file", "x")
        expect(.notDirectory) { try it.root.chdir("file") }
        try it.root.chdir("b")
        try it.root.rmdir("/a/b")
        expect(.noSuchFileOrDirectory) { try it.root.getcwd() }
        expect(.noSuchFileOrDirectory) { try it.root.put("new") }
        try it.root.chdir("/")
        let other = it.root.duplicate()
        try other.chroot("/a")
        #expect(try other.text("/file") == "x")
        #expect(try other.text("/../file") == "x")
        try other.chdir("/")
        #expect(try other.getcwd() == "/")
        expect(.notPermitted) { try it.user(7).chroot("/a") }
    }

    @Test func mountsAreCrossed() throws {
        let it = Fixture()
        let inner = MemFS(maximumBytes: 1 << 20, rootPermissions: 0o755)
        try it.root.mkdir("/mnt", permissions: 0o700)
        try it.root.put("/mnt/hidden")
        try it.root.put("/outside", "outside")
        try it.namespace.mount(inner, at: "/mnt")
        #expect(try it.root.list("/mnt") == [])
        #expect(try it.root.stat("/mnt").permissions == 0o755)
        try it.root.mkdir("/mnt/d", permissions: 0o755)
        try it.root.put("/mnt/d/file", "inside")
        #expect(try it.root.text("/mnt/d/../../outside") == "outside")
        #expect(try it.root.text("/mnt/../mnt/d/file") == "inside")
        try it.root.chdir("/mnt/d")
        #expect(try it.root.getcwd() == "/mnt/d")
        #expect(try it.root.text("../../outside") == "outside")
        try it.root.chdir("/")
        expect(.improperLink) { try it.root.rename("/outside", "/mnt/x") }
        expect(.improperLink) { try it.root.link("/outside", "/mnt/x") }
        expect(.resourceBusy) { try it.root.rmdir("/mnt") }
        expect(.resourceBusy) { try it.root.rename("/mnt", "/other") }
        expect(.resourceBusy) { try it.root.rename("/outside", "/mnt") }
        #expect(try it.root.lstat("/mnt").node != it.memory.lookup(Name("mnt"), in: it.memory.root).node)
        let file = try it.root.open("/mnt/d/file")
        expect(.resourceBusy) { try it.namespace.unmount("/mnt") }
        try it.root.close(file)
        try it.namespace.unmount("/mnt")
        #expect(try it.root.list("/mnt") == ["hidden"])
        expect(.invalidArgument) { try it.namespace.unmount("/mnt") }
        expect(.resourceBusy) { try it.namespace.mount(inner, at: "/") }
        expect(.notDirectory) { try it.namespace.mount(inner, at: "/outside") }
        expect(.noSuchFileOrDirectory) { try it.namespace.mount(inner, at: "/absent") }
        #expect(inner.checkInvariants() == [])
    }

    @Test func mountsStackAndNest() throws {
        let it = Fixture()
        let first = MemFS(maximumBytes: 1 << 20)
        let second = MemFS(maximumBytes: 1 << 20)
        let third = MemFS(maximumBytes: 1 << 20)
        try it.root.mkdir("/m", permissions: 0o755)
        try it.namespace.mount(first, at: "/m")
        try it.root.mkdir("/m/n", permissions: 0o755)
        try it.namespace.mount(second, at: "/m/n")
        try it.root.put("/m/n/file", "second")
        expect(.resourceBusy) { try it.namespace.unmount("/m") }
        try it.namespace.mount(third, at: "/m")
        #expect(try it.root.list("/m") == [])
        #expect(it.namespace.mountDescriptions.map(\.path) == ["/", "/m", "/m/n", "/m"])
        try it.root.chdir("/m")
        #expect(try it.root.getcwd() == "/m")
        try it.root.chdir("..")
        #expect(try it.root.getcwd() == "/")
        try it.namespace.unmount("/m")
        #expect(try it.root.text("/m/n/file") == "second")
    }

    @Test func readOnlyMountsRefuseChanges() throws {
        let it = Fixture()
        let inner = MemFS(maximumBytes: 1 << 20)
        _ = try inner.make(NewNode(kind: .regular, permissions: 0o666), named: Name("f"), in: inner.root, by: .root)
        try it.root.mkdir("/ro", permissions: 0o755)
        try it.namespace.mount(inner, at: "/ro", readOnly: true)
        expect(.readOnlyFileSystem) { try it.root.put("/ro/f", "x") }
        expect(.readOnlyFileSystem) { try it.root.put("/ro/new") }
        expect(.readOnlyFileSystem) { try it.root.mkdir("/ro/d", permissions: 0o755) }
        expect(.readOnlyFileSystem) { try it.root.unlink("/ro/f") }
        expect(.readOnlyFileSystem) { try it.root.rename("/ro/f", "/ro/g") }
        expect(.readOnlyFileSystem) { try it.root.link("/ro/f", "/ro/g") }
        expect(.readOnlyFileSystem) { try it.root.chmod("/ro/f", 0o600) }
        expect(.readOnlyFileSystem) { try it.root.chown("/ro/f", owner: 1, group: 1) }
        expect(.readOnlyFileSystem) { try it.root.truncate("/ro/f", to: 0) }
        expect(.readOnlyFileSystem) { try it.root.setxattr("/ro/f", "user.x", [1]) }
        expect(.readOnlyFileSystem) { try it.root.access("/ro/f", .write) }
        #expect(try it.root.text("/ro/f") == "")
        #expect(try it.root.statfs("/ro").traits.readOnly)
    }
}
