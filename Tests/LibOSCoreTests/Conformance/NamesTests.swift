import Testing
import VFS

/// Making, finding, linking and removing: `mknod(2)`, `mkdir(2)`, `symlink(2)`, `link(2)`, `unlink(2)`, `rmdir(2)`.
@Suite struct NamesTests {
    @Test(arguments: Subject.all) func madeFileIsFound(_ subject: Subject) throws {
        let it = try subject.make()
        let made = try it.files.make(
            NewNode(kind: .regular, permissions: 0o640), named: name("a"), in: it.root, by: .root)
        #expect(made.attributes.kind == .regular)
        #expect(made.attributes.permissions == 0o640)
        #expect(made.attributes.linkCount == 1)
        #expect(made.attributes.size == 0)
        #expect(made.attributes.node == made.node)
        let found = try it.files.lookup(name("a"), in: it.root)
        #expect(found.node == made.node)
        #expect(found.attributes == made.attributes)
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func absentNameIsNotFound(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("file")
        expect(.noSuchFileOrDirectory) { try it.lookup("absent") }
        expect(.notDirectory) { try it.lookup("x", in: file) }
        expect(.notDirectory) { try it.file("x", in: file) }
        expect(.notDirectory) { try it.remove("x", in: file) }
    }

    @Test(arguments: Subject.all) func takenNameIsRefused(_ subject: Subject) throws {
        let it = try subject.make()
        try it.file("a", "kept")
        try it.directory("d")
        expect(.fileExists) { try it.file("a") }
        expect(.fileExists) { try it.directory("a") }
        expect(.fileExists) { try it.file("d") }
        expect(.fileExists) {
            try it.files.make(
                NewNode(kind: .symbolicLink, permissions: 0o777, target: Array("x".utf8)), named: name("a"),
                in: it.root, by: .root)
        }
        #expect(try it.text(it.lookup("a")) == "kept")
    }

    @Test(arguments: Subject.all) func directoriesCountLinks(_ subject: Subject) throws {
        let it = try subject.make()
        let before = try it.attributes(it.root).linkCount
        let first = try it.directory("first")
        #expect(try it.attributes(first).linkCount == 2)
        #expect(try it.attributes(it.root).linkCount == before + 1)
        try it.directory("second", in: first)
        #expect(try it.attributes(first).linkCount == 3)
        try it.remove("second", in: first, .directory)
        #expect(try it.attributes(first).linkCount == 2)
        try it.remove("first", .directory)
        #expect(try it.attributes(it.root).linkCount == before)
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func parentsAreKnown(_ subject: Subject) throws {
        let it = try subject.make()
        let first = try it.directory("first")
        let second = try it.directory("second", in: first)
        #expect(try it.files.parent(of: second) == first)
        #expect(try it.files.parent(of: first) == it.root)
        #expect(try it.files.parent(of: it.root) == it.files.root)
        try it.rename("second", in: first, to: "moved", into: it.root)
        #expect(try it.files.parent(of: second) == it.root)
    }

    @Test(arguments: Subject.all) func symbolicLinksHoldAnyBytes(_ subject: Subject) throws {
        let it = try subject.make()
        for (index, target) in [Array("../x/y".utf8), [0xFF, 0xFE, 1], Array(repeating: 97, count: 4095)]
            .enumerated()
        {
            let link = try it.files.make(
                NewNode(kind: .symbolicLink, permissions: 0o777, target: target), named: name("l\(index)"),
                in: it.root,
                by: .root)
            #expect(try it.files.readLink(link.node) == target)
            #expect(link.attributes.kind == .symbolicLink)
            #expect(link.attributes.size == UInt64(target.count))
        }
        expect(.invalidArgument) { try it.files.readLink(it.file("file")) }
        expect(.invalidArgument) { try it.files.readLink(it.root) }
        expect(.noSuchFileOrDirectory) {
            try it.files.make(
                NewNode(kind: .symbolicLink, permissions: 0o777), named: name("empty"), in: it.root, by: .root)
        }
        expect(.fileNameTooLong) {
            try it.files.make(
                NewNode(kind: .symbolicLink, permissions: 0o777, target: Array(repeating: 97, count: 4096)),
                named: name("long"), in: it.root, by: .root)
        }
    }

    @Test(arguments: Subject.having(.owners)) func specialFilesKeepKindAndDevice(_ subject: Subject) throws {
        let it = try subject.make()
        for (kind, device) in [
            (NodeKind.fifo, UInt64(0)), (.socket, 0), (.characterDevice, 0x0105), (.blockDevice, 0x0801),
        ] {
            let made = try it.files.make(
                NewNode(kind: kind, permissions: 0o600, device: device), named: name("\(kind)"), in: it.root,
                by: .root)
            #expect(made.attributes.kind == kind)
            #expect(made.attributes.device == device)
            #expect(made.attributes.linkCount == 1)
        }
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func namesAreBytes(_ subject: Subject) throws {
        let it = try subject.make()
        let longest = try Name(Array(repeating: UInt8(ascii: "n"), count: 255))
        let odd = try Name([0xFF, 0x0A, 0x20, 0x5C])
        for name in [longest, odd] {
            let made = try it.files.make(
                NewNode(kind: .regular, permissions: 0o600), named: name, in: it.root, by: .root)
            #expect(try it.files.lookup(name, in: it.root).node == made.node)
        }
        #expect(throws: VFSError.self) { try Name(Array(repeating: 97, count: 256)) }
        #expect(throws: VFSError.self) { try Name("..") }
        #expect(throws: VFSError.self) { try Name("a/b") }
    }

    @Test(arguments: Subject.all) func hardLinksShareOneFile(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a", "one")
        let directory = try it.directory("d")
        let linked = try it.files.link(file, as: name("b"), in: directory)
        #expect(linked.node == file)
        #expect(linked.attributes.linkCount == 2)
        try it.write(file, at: 0, Array("two".utf8))
        #expect(try it.text(it.lookup("b", in: directory)) == "two")
        expect(.fileExists) { try it.files.link(file, as: name("b"), in: directory) }
        expect(.notPermitted) { try it.files.link(directory, as: name("c"), in: it.root) }
        try it.remove("a")
        #expect(try it.attributes(file).linkCount == 1)
        #expect(try it.text(it.lookup("b", in: directory)) == "two")
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func removalMindsTheKind(_ subject: Subject) throws {
        let it = try subject.make()
        try it.file("file")
        let directory = try it.directory("directory")
        try it.file("inside", in: directory)
        expect(.isDirectory) { try it.remove("directory") }
        expect(.notDirectory) { try it.remove("file", .directory) }
        expect(.directoryNotEmpty) { try it.remove("directory", .directory) }
        expect(.noSuchFileOrDirectory) { try it.remove("absent") }
        expect(.noSuchFileOrDirectory) { try it.remove("absent", .directory) }
        try it.remove("inside", in: directory)
        try it.remove("directory", .directory)
        expect(.noSuchFileOrDirectory) { try it.lookup("directory") }
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func nothingIsMadeInARemovedDirectory(_ subject: Subject) throws {
        let it = try subject.make()
        let directory = try it.directory("gone")
        let file = try it.file("file")
        try it.remove("gone", .directory)
        expect(.noSuchFileOrDirectory) { try it.file("x", in: directory) }
        expect(.noSuchFileOrDirectory) { try it.directory("x", in: directory) }
        expect(.noSuchFileOrDirectory) { try it.files.link(file, as: name("x"), in: directory) }
        expect(.noSuchFileOrDirectory) { try it.rename("file", to: "x", into: directory) }
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func unlinkedFileLivesWhileOpen(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a", "still here")
        let handle = try it.files.open(file, [.read, .write])
        try it.remove("a")
        #expect(try it.attributes(file).linkCount == 0)
        #expect(try it.read(file, handle, at: 0, count: 100) == Array("still here".utf8))
        _ = try Array("more".utf8).withUnsafeBytes { try it.files.write(file, handle, at: .end, $0, []) }
        #expect(try it.attributes(file).size == 14)
        expect(.noSuchFileOrDirectory) { try it.files.link(file, as: name("back"), in: it.root) }
        it.files.close(file, handle)
        it.files.forget(file, count: 1)
        #expect(throws: VFSError.self) { try it.attributes(file) }
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func unlinkedOpenFileNeedsNoLookups(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a", "still here")
        let handle = try it.files.open(file, [.read, .write])
        it.files.forget(file, count: 1)
        try it.remove("a")
        #expect(try it.read(file, handle, at: 0, count: 100) == Array("still here".utf8))
        #expect(try it.attributes(file).linkCount == 0)
        it.files.close(file, handle)
        #expect(throws: VFSError.self) { try it.attributes(file) }
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func openedFileLivesWithoutLookups(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a", "data")
        let handle = try it.files.open(file, .read)
        it.files.forget(file, count: 1)
        #expect(try it.read(file, handle, at: 0, count: 10) == Array("data".utf8))
        it.files.close(file, handle)
        #expect(try it.text(it.lookup("a")) == "data")
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.unnamedFiles)) func unnamedFileMayGetAName(_ subject: Subject) throws {
        let it = try subject.make()
        let made = try it.files.make(
            NewNode(kind: .regular, permissions: 0o600), named: nil, in: it.root, by: .root)
        #expect(made.attributes.linkCount == 0)
        #expect(try it.list().isEmpty)
        try it.write(made.node, at: 0, Array("temporary".utf8))
        #expect(try it.files.link(made.node, as: name("kept"), in: it.root).attributes.linkCount == 1)
        #expect(try it.text(it.lookup("kept")) == "temporary")
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.unnamedFiles)) func unnamedFileGoesWhenForgotten(_ subject: Subject) throws {
        let it = try subject.make()
        let made = try it.files.make(
            NewNode(kind: .regular, permissions: 0o600), named: nil, in: it.root, by: .root)
        it.files.forget(made.node, count: 1)
        #expect(throws: VFSError.self) { try it.attributes(made.node) }
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.owners)) func newFilesBelongToTheCaller(_ subject: Subject) throws {
        let it = try subject.make()
        let caller = Caller(user: 1234, group: 2345, groups: [2345, 3456])
        for kind in [NodeKind.regular, .directory, .symbolicLink, .fifo] {
            let made = try it.files.make(
                NewNode(kind: kind, permissions: 0o700, target: [120]), named: name("\(kind)"), in: it.root,
                by: caller)
            #expect(made.attributes.owner == 1234)
            #expect(made.attributes.group == 2345)
        }
    }

    /// `inode(7)`: what is made in a set-group-ID directory takes its group, and directories the bit too.
    @Test(arguments: Subject.having(.owners)) func setGroupIDDirectoriesHandDownTheirGroup(_ subject: Subject)
        throws
    {
        let it = try subject.make()
        let shared = try it.directory("shared")
        try it.set(shared) { $0.group = 777 }
        try it.set(shared) { $0.permissions = 0o2777 }
        let caller = Caller(user: 1234, group: 2345)
        let file = try it.files.make(
            NewNode(kind: .regular, permissions: 0o644), named: name("f"), in: shared, by: caller)
        #expect(file.attributes.group == 777)
        #expect(file.attributes.permissions == 0o644)
        let directory = try it.files.make(
            NewNode(kind: .directory, permissions: 0o755), named: name("d"), in: shared, by: caller)
        #expect(directory.attributes.group == 777)
        #expect(directory.attributes.permissions == 0o2755)
        let program = try it.files.make(
            NewNode(kind: .regular, permissions: 0o2755), named: name("p"), in: shared, by: caller)
        #expect(program.attributes.permissions == 0o755)
    }
}
