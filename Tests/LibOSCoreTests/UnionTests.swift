import EncFS
import LibOSCore
import MemFS
import SimHost
import Testing
import UnionFS
import VFS

/// What a union adds to plain filesystems: layers, copying up, whiteouts, opaque directories.
@Suite struct UnionTests {
    /// Two layers below, with files that hide and complete each other, and a writable one.
    struct Layers {
        let upper: any FileSystem
        let lowers = [MemFS(maximumBytes: 16 << 20), MemFS(maximumBytes: 16 << 20)]
        let union: UnionFS
        let context: FileContext

        init(upper: any FileSystem = MemFS(maximumBytes: 16 << 20, rootPermissions: 0o755)) throws {
            self.upper = upper
            let (middle, bottom) = (
                FileContext(Namespace(root: lowers[0])), FileContext(Namespace(root: lowers[1]))
            )
            for below in [middle, bottom] {
                try below.mkdir("/d", permissions: 0o755)
                try below.mkdir("/d/e", permissions: 0o750)
            }
            try bottom.put("/d/both", "bottom")
            try middle.put("/d/both", "middle")
            try bottom.put("/d/only bottom", "deep")
            try middle.put("/d/only middle", "less deep")
            try bottom.put("/d/e/file", "in e")
            try bottom.put("/file", "text", permissions: 0o4755)
            try bottom.chown("/file", owner: 7, group: 8)
            try bottom.chmod("/file", 0o4755)
            try bottom.setxattr("/file", "user.a", [1, 2])
            try bottom.link("/file", "/other name")
            try bottom.symlink("d/both", "/link")
            // A file over a directory, and the other way round.
            try middle.put("/kind", "file")
            try bottom.mkdir("/kind", permissions: 0o755)
            union = try UnionFS(upper: upper, lowers: lowers)
            context = FileContext(Namespace(root: union), umask: 0o022)
        }

        /// Another union of the same layers, as after mounting again.
        func again() throws -> FileContext {
            FileContext(Namespace(root: try UnionFS(upper: upper, lowers: lowers)))
        }
    }

    @Test func layersAreSeenAsOne() throws {
        let it = try Layers()
        #expect(try it.context.list("/") == ["d", "file", "kind", "link", "other name"])
        #expect(try it.context.list("/d") == ["both", "e", "only bottom", "only middle"])
        #expect(try it.context.text("/link") == "middle")
        #expect(try it.context.text("/d/only bottom") == "deep")
        #expect(try it.context.stat("/kind").kind == .regular)
        #expect(try it.context.names(in: "/d", at: .currentDirectory).count == 4)
    }

    @Test func theFirstChangeCopiesUp() throws {
        let it = try Layers()
        let reading = try it.context.open("/file")
        let writing = try it.context.open("/file", .readWrite)
        #expect(try it.context.stat("/file").node == it.context.fstat(reading).node)
        _ = try it.context.pwrite(writing, Array("T".utf8), at: 0)
        // Opens from before see it, the layer below does not.
        #expect(try it.context.pread(reading, count: 10, at: 0) == Array("Text".utf8))
        #expect(try FileContext(Namespace(root: it.lowers[1])).text("/file") == "text")
        let after = try it.context.stat("/file")
        #expect(after.owner == 7 && after.group == 8 && after.permissions == 0o4755 && after.size == 4)
        #expect(try it.context.getxattr("/file", "user.a") == [1, 2])
        #expect(try it.again().text("/file") == "Text")
        #expect(try it.again().text("/other name") == "text")
        // Attributes alone copy up as well, with the way to the file.
        try it.context.chmod("/d/e/file", 0o600)
        #expect(try it.again().stat("/d/e/file").permissions == 0o600)
        #expect(try it.again().text("/d/e/file") == "in e")
        #expect(try it.context.stat("/d/e").permissions == 0o750)
        #expect(try it.context.list("/d") == ["both", "e", "only bottom", "only middle"])
    }

    @Test func whatIsRemovedStaysAway() throws {
        let it = try Layers()
        try it.context.unlink("/d/both")
        expect(.noSuchFileOrDirectory) { try it.context.stat("/d/both") }
        #expect(try it.context.list("/d") == ["e", "only bottom", "only middle"])
        #expect(try it.again().list("/d") == ["e", "only bottom", "only middle"])
        try it.context.put("/d/both", "new")
        #expect(try it.again().text("/d/both") == "new")
        expect(.directoryNotEmpty) { try it.context.rmdir("/d/e") }
        try it.context.unlink("/d/e/file")
        try it.context.rmdir("/d/e")
        expect(.noSuchFileOrDirectory) { try it.again().stat("/d/e") }
        // Made again, it is empty: nothing of the old one shows through.
        try it.context.mkdir("/d/e", permissions: 0o755)
        #expect(try it.context.list("/d/e") == [])
        #expect(try it.again().list("/d/e") == [])
        try it.context.put("/d/e/new", "x")
        try it.context.unlink("/d/e/new")
        try it.context.rmdir("/d/e")
        try it.context.put("/d/e", "now a file")
        #expect(try it.again().text("/d/e") == "now a file")
        // The union's marks are its own.
        expect(.notPermitted) { try it.context.setxattr("/d", "trusted.overlay.opaque", [121]) }
        expect(.notPermitted) { try it.context.mknod("/null", .characterDevice, permissions: 0o600, device: 0) }
    }

    @Test func renamesLeaveNothingBehind() throws {
        let it = try Layers()
        try it.context.rename("/d/both", "/moved")
        #expect(try it.again().text("/moved") == "middle")
        expect(.noSuchFileOrDirectory) { try it.again().stat("/d/both") }
        try it.context.rename("/moved", "/d/only bottom")
        #expect(try it.again().text("/d/only bottom") == "middle")
        expect(.improperLink) { try it.context.rename("/d", "/elsewhere") }
        try it.context.mkdir("/fresh", permissions: 0o755)
        try it.context.put("/fresh/f", "x")
        // Onto the place of a directory that was below.
        try it.context.unlink("/d/e/file")
        try it.context.rmdir("/d/e")
        try it.context.rename("/fresh", "/d/e")
        #expect(try it.context.list("/d/e") == ["f"])
        #expect(try it.again().list("/d/e") == ["f"])
        expect(.invalidArgument) { try it.context.rename("/d/e", "/d/e/below") }
        try it.context.rename("/file", "/link", .exchange)
        #expect(try it.again().readlink("/file") == "d/both")
        #expect(try it.again().text("/link") == "text")
        expect(.fileExists) { try it.context.rename("/file", "/link", .noReplace) }
    }

    @Test func removedFilesLiveUntilTheLastClose() throws {
        let it = try Layers()
        let file = try it.context.open("/d/only middle", .readWrite)
        try it.context.unlink("/d/only middle")
        #expect(try it.context.pread(file, count: 20, at: 0) == Array("less deep".utf8))
        _ = try it.context.pwrite(file, Array("LESS".utf8), at: 0)
        #expect(try it.context.pread(file, count: 20, at: 0) == Array("LESS deep".utf8))
        try it.context.close(file)
        expect(.noSuchFileOrDirectory) { try it.again().stat("/d/only middle") }
    }

    /// On an encrypted volume, through a crash: what was committed is there, and removed files stay removed.
    @Test func overAVolume() throws {
        let device = SimBlockDevice(blocks: 8192)
        try EncFS.format(device, EncFS.FormatOptions())
        var options = EncFS.MountOptions()
        options.commitIntervalMilliseconds = 0
        let it = try Layers(upper: try EncFS(mounting: device, options))
        try it.context.unlink("/file")
        try it.context.put("/d/both", "changed")
        try it.context.sync()
        try it.context.put("/lost", "x")
        let crashed = device.crash()
        let upper = try EncFS(mounting: crashed, options)
        let again = FileContext(Namespace(root: try UnionFS(upper: upper, lowers: it.lowers)))
        #expect(try again.list("/") == ["d", "kind", "link", "other name"])
        #expect(try again.text("/d/both") == "changed")
        try upper.close()
        var found: [String] = []
        _ = try EncFS.check(crashed, readData: true, progress: { _, _ in }) { found.append("\($0)") }
        #expect(found == [])
    }

    @Test func aReadOnlyUpperLayerRefusesChanges() throws {
        let device = SimBlockDevice(blocks: 8192)
        try EncFS.format(device, EncFS.FormatOptions())
        var options = EncFS.MountOptions()
        options.readOnly = true
        let it = try Layers(upper: try EncFS(mounting: device, options))
        #expect(try it.context.text("/d/both") == "middle")
        expect(.readOnlyFileSystem) { try it.context.unlink("/file") }
        expect(.readOnlyFileSystem) { try it.context.put("/d/both", "x") }
    }
}
