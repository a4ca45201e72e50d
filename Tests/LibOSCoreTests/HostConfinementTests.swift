import Foundation
import HostFS
import LibOSCore
import Testing
import VFS

/// Attempts to get out of a HostFS's root.
@Suite struct HostConfinementTests {
    /// A root directory with a secret beside it.
    final class Prison {
        let place: TemporaryDirectory
        let inside: String
        let secret: String
        let files: HostFS
        let namespace: Namespace
        let context: FileContext

        init(readOnly: Bool = false) throws {
            place = try TemporaryDirectory()
            inside = place.path + "/inside"
            secret = place.path + "/secret"
            try FileManager.default.createDirectory(atPath: inside, withIntermediateDirectories: false)
            try "secret".write(toFile: secret, atomically: false, encoding: .utf8)
            files = try HostFS(root: inside, readOnly: readOnly)
            namespace = Namespace(root: files)
            context = FileContext(namespace, umask: 0)
        }

        deinit { place.remove() }

        /// The secret was neither changed nor replaced.
        func expectUntouched(_ location: SourceLocation = #_sourceLocation) throws {
            #expect(try String(contentsOfFile: secret, encoding: .utf8) == "secret", sourceLocation: location)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: place.path).sorted() == ["inside", "secret"],
                sourceLocation: location)
        }
    }

    @Test func symbolicLinksOfTheHostAreOnlyLinks() throws {
        let it = try Prison()
        for (name, target) in [
            ("absolute", it.secret), ("relative", "../secret"), ("directory", ".."), ("self", "."),
        ] {
            try FileManager.default.createSymbolicLink(atPath: it.inside + "/" + name, withDestinationPath: target)
        }
        let root = it.files.root
        for name in ["absolute", "relative", "directory", "self"] {
            let entry = try it.files.lookup(Name(name), in: root)
            #expect(entry.attributes.kind == .symbolicLink)
            expect(.tooManySymbolicLinkLevels) { try it.files.open(entry.node, .read) }
            expect(.tooManySymbolicLinkLevels) { try it.files.open(entry.node, [.write, .truncate]) }
            expect(.notDirectory) { try it.files.lookup(Name("secret"), in: entry.node) }
            expect(.notDirectory) {
                try it.files.make(
                    NewNode(kind: .regular, permissions: 0o600), named: Name("x"), in: entry.node, by: .root)
            }
            expect(.fileExists) {
                try it.files.make(
                    NewNode(kind: .regular, permissions: 0o600), named: Name(name), in: root, by: .root)
            }
            // Linux has none of these for links; where the link were followed, the file would have one.
            expect(.notPermitted) {
                try it.files.setExtendedAttribute(Array("user.x".utf8), of: entry.node, to: [1], .create)
            }
            #expect(try it.files.extendedAttributeNames(of: entry.node) == [])
            var change = AttributeChange()
            change.permissions = 0o777
            expect(.notSupported) { try it.files.setAttributes(entry.node, change, by: .root) }
            change = AttributeChange()
            change.size = 0
            expect(.invalidArgument) { try it.files.setAttributes(entry.node, change, by: .root) }
            change = AttributeChange()
            change.modificationTime = .exact(Timestamp(seconds: 1, nanoseconds: 0))
            _ = try it.files.setAttributes(entry.node, change, by: .root)
            _ = try it.files.link(entry.node, as: Name("hard-" + name), in: root)
            #expect(try it.files.lookup(Name("hard-" + name), in: root).attributes.kind == .symbolicLink)
        }
        let times = try FileManager.default.attributesOfItem(atPath: it.secret)[.modificationDate] as? Date
        #expect((times?.timeIntervalSince1970 ?? 0) > 2)
        try it.expectUntouched()
    }

    /// LibOSCore follows links itself, inside its own namespace.
    @Test func linksResolveInsideTheNamespace() throws {
        let it = try Prison()
        try it.context.put("/secret", "decoy")
        for (name, target) in [("absolute", "/secret"), ("up", "../../../secret"), ("real", it.secret)] {
            try it.context.symlink(Path(target), Path("/" + name))
        }
        #expect(try it.context.text("/absolute") == "decoy")
        #expect(try it.context.text("/up") == "decoy")
        expect(.noSuchFileOrDirectory) { try it.context.stat("/real") }
        #expect(try it.context.text("/../../../secret") == "decoy")
        try it.context.put("/up", "changed")
        #expect(try it.context.text("/secret") == "changed")
        try it.expectUntouched()
    }

    @Test func namesWithDotsAndSlashesAreNoNames() {
        for bad in ["..", ".", "../secret", "/etc/passwd", "a/../../secret", "x\0y"] {
            expect(.invalidArgument) { try Name(bad) }
        }
    }

    @Test func parentStopsAtTheRoot() throws {
        let it = try Prison()
        #expect(try it.files.parent(of: it.files.root) == it.files.root)
        try it.context.mkdir("/a", permissions: 0o755)
        try it.context.mkdir("/a/b", permissions: 0o755)
        let a = try it.files.lookup(Name("a"), in: it.files.root).node
        let b = try it.files.lookup(Name("b"), in: a).node
        // The host moves the directory out of the tree: `..` is still where it was found.
        try FileManager.default.moveItem(atPath: it.inside + "/a/b", toPath: it.place.path + "/b")
        #expect(try it.files.parent(of: b) == a)
        expect(.noSuchFileOrDirectory) { try it.files.lookup(Name("secret"), in: b) }
        try FileManager.default.removeItem(atPath: it.place.path + "/b")
        try it.expectUntouched()
    }

    /// The host moves a directory below one that was found in it; parents never make a circle.
    @Test func circlesAreRefused() throws {
        let it = try Prison()
        try it.context.mkdir("/a", permissions: 0o755)
        try it.context.mkdir("/a/b", permissions: 0o755)
        let a = try it.files.lookup(Name("a"), in: it.files.root).node
        let b = try it.files.lookup(Name("b"), in: a).node
        try FileManager.default.moveItem(atPath: it.inside + "/a/b", toPath: it.inside + "/b")
        try FileManager.default.moveItem(atPath: it.inside + "/a", toPath: it.inside + "/b/a")
        expect(.staleNFSFileHandle) { try it.files.lookup(Name("a"), in: b) }
        #expect(try it.files.lookup(Name("b"), in: it.files.root).node == b)
        #expect(try it.files.lookup(Name("a"), in: b).node == a)
        #expect(try it.files.parent(of: a) == b)
        #expect(try it.files.parent(of: b) == it.files.root)
    }

    /// A file and a directory swap places with links to the outside, over and over, while they are used by name.
    @Test func swappingHostNeverLeadsOut() throws {
        let it = try Prison()
        try it.context.mkdir("/dir", permissions: 0o755)
        try it.context.put("/dir/secret", "inside")
        try it.context.put("/file", "inside")
        try FileManager.default.createSymbolicLink(atPath: it.inside + "/dir-link", withDestinationPath: "..")
        try FileManager.default.createSymbolicLink(
            atPath: it.inside + "/file-link", withDestinationPath: "../secret")
        let inside = it.inside
        let swapper = Thread {
            for _ in 0..<4000 {
                for name in ["dir", "file"] {
                    rename(inside + "/" + name, inside + "/" + name + "-kept")
                    rename(inside + "/" + name + "-link", inside + "/" + name)
                    rename(inside + "/" + name, inside + "/" + name + "-link")
                    rename(inside + "/" + name + "-kept", inside + "/" + name)
                }
            }
        }
        swapper.start()
        var reads = 0
        var attempts = 0
        while !swapper.isFinished || attempts == 0 {
            attempts += 1
            for name in ["dir", "file"] {
                let entry: Entry
                do { entry = try it.files.lookup(Name(name), in: it.files.root) } catch { continue }
                defer { it.files.forget(entry.node, count: 1) }
                if name == "dir" {
                    guard let found = try? it.files.lookup(Name("secret"), in: entry.node) else { continue }
                    defer { it.files.forget(found.node, count: 1) }
                    guard let handle = try? it.files.open(found.node, .read) else { continue }
                    #expect(
                        try Specimen(it.files).read(found.node, handle, at: 0, count: 10) == Array("inside".utf8))
                    it.files.close(found.node, handle)
                    reads += 1
                } else {
                    guard let handle = try? it.files.open(entry.node, [.read, .write]) else { continue }
                    #expect(
                        try Specimen(it.files).read(entry.node, handle, at: 0, count: 10) == Array("inside".utf8))
                    _ = try Array("inside".utf8).withUnsafeBytes {
                        try it.files.write(entry.node, handle, at: .offset(0), $0, [])
                    }
                    it.files.close(entry.node, handle)
                    reads += 1
                }
            }
        }
        #expect(reads > 0)
        #expect(try String(contentsOfFile: it.secret, encoding: .utf8) == "secret")
    }

    @Test func specialFilesAreNeverOpened() throws {
        let it = try Prison()
        mkfifo(it.inside + "/fifo", 0o600)
        let fifo = try it.files.lookup(Name("fifo"), in: it.files.root).node
        expect(.noSuchAddressOrDevice) { try it.files.open(fifo, .read) }
        expect(.noSuchAddressOrDevice) { try it.files.open(fifo, [.write, .truncate]) }
        try it.files.commit(fifo, dataOnly: false).wait()
    }

    @Test func readOnlyChangesNothing() throws {
        let place = try TemporaryDirectory()
        defer { place.remove() }
        try "text".write(toFile: place.path + "/file", atomically: false, encoding: .utf8)
        let context = FileContext(Namespace(root: try HostFS(root: place.path, readOnly: true)))
        #expect(try context.text("/file") == "text")
        expect(.readOnlyFileSystem) { try context.open("/file", .writeOnly) }
        expect(.readOnlyFileSystem) { try context.put("/new") }
        expect(.readOnlyFileSystem) { try context.unlink("/file") }
        expect(.readOnlyFileSystem) { try context.truncate("/file", to: 0) }
        #expect(try String(contentsOfFile: place.path + "/file", encoding: .utf8) == "text")
    }

    @Test func badRoots() throws {
        let place = try TemporaryDirectory()
        defer { place.remove() }
        try "text".write(toFile: place.path + "/file", atomically: false, encoding: .utf8)
        expect(.noSuchFileOrDirectory) { try HostFS(root: place.path + "/absent", readOnly: false) }
        expect(.notDirectory) { try HostFS(root: place.path + "/file", readOnly: false) }
        expect(.noSuchFileOrDirectory) { try HostFS(root: "", readOnly: false) }
    }

    /// Descriptors go with the lookups: thousands of files can be walked one after another.
    @Test func descriptorsAreGivenBack() throws {
        let it = try Prison()
        let before = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
        for index in 0..<2000 { try it.context.put("/f\(index)") }
        #expect(try it.context.list("/").count == 2000)
        for index in 0..<2000 { _ = try it.context.stat("/f\(index)") }
        #expect(it.files.filesInUse == 1)
        // Other tests open descriptors at the same time.
        #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count < before + 500)
    }

    /// Thousands of files looked up at once hold few descriptors, and are found again; what the host replaced is not.
    @Test func filesAreFoundAgain() throws {
        let place = try TemporaryDirectory()
        defer { place.remove() }
        let files = try HostFS(root: place.path, readOnly: false, descriptorLimit: 10)
        let it = try Specimen(files)
        let nodes = try (0..<500).map { try it.file("f\($0)", "text \($0)") }
        #expect(files.heldDescriptors <= 11)
        for (index, node) in nodes.enumerated() { #expect(try it.text(node) == "text \(index)") }
        #expect(files.heldDescriptors <= 11)
        // Gone and moved through the filesystem: still there.
        try it.remove("f0")
        #expect(try it.text(nodes[0]) == "text 0")
        try it.directory("d")
        try it.rename("f1", to: "moved", into: it.lookup("d"))
        try it.rename("f2", to: "f3")
        for node in nodes[400...] { _ = try it.attributes(node) }
        #expect(try it.text(nodes[0]) == "text 0")
        #expect(try it.text(nodes[1]) == "text 1")
        #expect(try it.text(nodes[2]) == "text 2")
        #expect(try it.text(nodes[3]) == "text 3")
        #expect(try it.attributes(nodes[3]).linkCount == 0)
        // Replaced by the host: said so, and the new file is another.
        try FileManager.default.removeItem(atPath: place.path + "/f5")
        try "other".write(toFile: place.path + "/f5", atomically: false, encoding: .utf8)
        expect(.staleNFSFileHandle) { try it.attributes(nodes[5]) }
        #expect(try it.text(it.lookup("f5")) == "other")
    }
}
