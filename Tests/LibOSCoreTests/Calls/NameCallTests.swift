import LibOSCore
import Testing
import VFS

/// The corners of calls that make and remove names.
@Suite struct NameCallTests {
    @Test func slashesAndDots() throws {
        let it = Fixture()
        try it.root.mkdir("/d/", permissions: 0o755)
        try it.root.put("/f", "x")
        expect(.fileExists) { try it.root.mkdir("/d", permissions: 0o755) }
        expect(.fileExists) { try it.root.mkdir("/", permissions: 0o755) }
        expect(.fileExists) { try it.root.mkdir("/d/.", permissions: 0o755) }
        expect(.fileExists) { try it.root.mkdir("/d/..", permissions: 0o755) }
        expect(.noSuchFileOrDirectory) { try it.root.mkdir("/absent/x", permissions: 0o755) }
        expect(.notDirectory) { try it.root.mkdir("/f/x", permissions: 0o755) }
        expect(.noSuchFileOrDirectory) { try it.root.symlink("x", "/new/") }
        expect(.noSuchFileOrDirectory) { try it.root.symlink("", "/new") }
        expect(.noSuchFileOrDirectory) { try it.root.link("/f", "/new/") }
        expect(.fileExists) { try it.root.link("/f", "/d") }
        expect(.notPermitted) { try it.root.link("/d", "/e") }
        expect(.isDirectory) { try it.root.unlink("/d") }
        expect(.isDirectory) { try it.root.unlink("/d/") }
        expect(.isDirectory) { try it.root.unlink("/") }
        expect(.isDirectory) { try it.root.unlink("/d/..") }
        expect(.notDirectory) { try it.root.unlink("/f/") }
        expect(.notDirectory) { try it.root.rmdir("/f") }
        expect(.invalidArgument) { try it.root.rmdir("/d/.") }
        expect(.directoryNotEmpty) { try it.root.rmdir("/d/..") }
        expect(.resourceBusy) { try it.root.rmdir("/") }
        try it.root.put("/d/x")
        expect(.directoryNotEmpty) { try it.root.rmdir("/d") }
        try it.root.unlink("/d/x")
        try it.root.rmdir("/d/")
        expect(.invalidArgument) { try it.root.readlink("/f") }
    }

    @Test func renameCorners() throws {
        let it = Fixture()
        try it.root.mkdir("/d", permissions: 0o755)
        try it.root.mkdir("/d/sub", permissions: 0o755)
        try it.root.put("/f", "x")
        expect(.resourceBusy) { try it.root.rename("/d/.", "/e") }
        expect(.resourceBusy) { try it.root.rename("/d/..", "/e") }
        expect(.resourceBusy) { try it.root.rename("/", "/e") }
        expect(.resourceBusy) { try it.root.rename("/f", "/d/.") }
        expect(.fileExists) { try it.root.rename("/f", "/d/.", .noReplace) }
        expect(.notDirectory) { try it.root.rename("/f/", "/g") }
        expect(.notDirectory) { try it.root.rename("/f", "/g/") }
        expect(.invalidArgument) { try it.root.rename("/d", "/d/sub/d") }
        expect(.directoryNotEmpty) { try it.root.rename("/d/sub", "/d") }
        expect(.noSuchFileOrDirectory) { try it.root.rename("/absent", "/g") }
        expect(.noSuchFileOrDirectory) { try it.root.rename("/f", "/g", .exchange) }
        expect(.invalidArgument) { try it.root.rename("/f", "/g", [.noReplace, .exchange]) }
        try it.root.rename("/d/", "/e/")
        try it.root.rename("/f", "/e", .exchange)
        #expect(try it.root.text("/e") == "x")
        #expect(try it.root.stat("/f/sub").kind == .directory)
        #expect(it.memory.checkInvariants() == [])
    }

    /// Renames and removals mean the link, not what it points to.
    @Test func linksAreRenamedAndRemovedThemselves() throws {
        let it = Fixture()
        try it.root.put("/target", "t")
        try it.root.symlink("target", "/link")
        try it.root.rename("/link", "/link2")
        #expect(try it.root.readlink("/link2") == "target")
        try it.root.link("/link2", "/link3")
        #expect(try it.root.lstat("/link3").kind == .symbolicLink)
        try it.root.link("/link2", "/hard", follow: true)
        #expect(try it.root.lstat("/hard").kind == .regular)
        try it.root.unlink("/link2")
        #expect(try it.root.text("/target") == "t")
        expect(.notDirectory) { try it.root.rmdir("/link3") }
    }
}
