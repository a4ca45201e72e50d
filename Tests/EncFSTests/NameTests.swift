import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

@Suite struct NameTests {
    @Test func errorsAreLinuxErrors() throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet)
        let directory = try files.make("d", kind: .directory)
        let file = try files.make("f")
        _ = try files.make("inside", in: directory)
        #expect(errno { try files.lookup(Name("none"), in: files.root) } == .noSuchFileOrDirectory)
        #expect(errno { try files.lookup(Name("x"), in: file) } == .notDirectory)
        #expect(errno { try files.make("d") } == .fileExists)
        #expect(errno { try files.remove(Name("d"), in: files.root, .nonDirectory) } == .isDirectory)
        #expect(errno { try files.remove(Name("f"), in: files.root, .directory) } == .notDirectory)
        #expect(errno { try files.remove(Name("d"), in: files.root, .directory) } == .directoryNotEmpty)
        #expect(errno { try files.link(directory, as: Name("l"), in: files.root) } == .notPermitted)
        #expect(errno { try files.link(file, as: Name("d"), in: files.root) } == .fileExists)
        #expect(errno { try files.readLink(file) } == .invalidArgument)
        #expect(errno { try files.read(directory, count: 1) } == .isDirectory)
        #expect(errno { try files.write([1], to: directory, at: 0) } == .isDirectory)
        #expect(errno { try files.setSize(1, of: directory) } == .isDirectory)
        #expect(errno { try files.open(directory, .write) } == .isDirectory)
        #expect(errno { try files.open(file, .directory) } == .notDirectory)
        #expect(errno { try Name(String(repeating: "a", count: 256)) } == .fileNameTooLong)
        let long = NewNode(kind: .symbolicLink, permissions: 0o777, target: .init(repeating: 65, count: 4096))
        #expect(errno { try files.make(long, named: Name("s"), in: files.root, by: .root) } == .fileNameTooLong)
        #expect(
            errno { try files.rename(Name("d"), in: files.root, to: Name("x"), in: directory, []) }
                == .invalidArgument)
        #expect(
            errno { try files.rename(Name("f"), in: files.root, to: Name("d"), in: files.root, .noReplace) }
                == .fileExists)
        #expect(errno { try files.extendedAttribute(Array("user.none".utf8), of: file) }?.rawValue == 61)
        #expect(
            errno { try files.extendedAttribute(Array("system.posix_acl_access".utf8), of: file) }?.rawValue == 61)
        #expect(errno { try files.attributes(NodeID(rawValue: 999)) } == .noSuchFileOrDirectory)
        try files.close()
        #expect(errno { try files.make("late") } == .readOnlyFileSystem)
    }

    @Test func ownershipFollowsTheDirectory() throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet)
        let shared = try files.make("shared", kind: .directory, permissions: 0o2775)
        var change = AttributeChange()
        change.group = 50
        _ = try files.setAttributes(shared, change, by: .root)
        let caller = Caller(user: 7, group: 8)
        let file = try files.make(
            NewNode(kind: .regular, permissions: 0o2755), named: Name("f"), in: shared, by: caller
        ).attributes
        #expect((file.owner, file.group) == (7, 50))
        #expect(file.permissions == 0o755)
        let inner = try files.make(
            NewNode(kind: .directory, permissions: 0o755), named: Name("d"), in: shared, by: caller
        ).attributes
        #expect((inner.group, inner.permissions) == (50, 0o2755))
        let plain = try files.make(
            NewNode(kind: .characterDevice, permissions: 0o600, device: 0x0105), named: Name("c"), in: files.root,
            by: caller
        ).attributes
        #expect((plain.group, plain.device, plain.kind) == (8, 0x0105, .characterDevice))
        #expect(try files.attributes(shared).linkCount == 3)
    }

    @Test func privilegesGoWithAWrite() throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet)
        let node = try files.make("f", permissions: 0o6755)
        let name = Array("security.capability".utf8)
        try files.setExtendedAttribute(name, of: node, to: [1, 2, 3], .create)
        _ = try [7].withUnsafeBytes { try files.write(node, .none, at: .end, $0, .clearsPrivileges) }
        #expect(try files.attributes(node).permissions == 0o755)
        #expect(errno { try files.extendedAttribute(name, of: node) }?.rawValue == 61)
        #expect(try files.extendedAttributeNames(of: node) == [])
    }

    @Test func readdirIsStableUnderChange() throws {
        let files = try EncFS(mounting: try freshDevice(nodeBytes: 4096), .quiet)
        let directory = try files.make("d", kind: .directory)
        for index in 0..<500 { _ = try files.make("stay \(index)", in: directory) }
        for index in 0..<500 { _ = try files.make("go \(index)", in: directory) }
        let handle = try files.open(directory, .directory)
        var seen: [String] = []
        var cookie = DirectoryCookie.start
        var round = 0
        while true {
            var got = 0
            try files.readDirectory(directory, handle, after: cookie, plus: round % 2 == 0) { entry in
                guard got < 7 else { return false }
                got += 1
                #expect(entry.cookie > cookie && entry.cookie.rawValue > 2)
                cookie = entry.cookie
                seen.append(entry.name.description)
                if entry.attributes != nil { files.forget(entry.node, count: 1) }
                return true
            }
            guard got > 0 else { break }
            try files.remove(Name("go \(499 - round)"), in: directory, .nonDirectory)
            try files.rename(
                Name("stay \(round)"), in: directory, to: Name("stay \(round)b"), in: directory, [])
            _ = try files.make("new \(round)", in: directory)
            round += 1
        }
        files.close(directory, handle)
        #expect(Set(seen).count == seen.count)
        // Nothing made or renamed after the open shows up, and all that was never touched does.
        #expect(!seen.contains { $0.hasPrefix("new") || $0.hasSuffix("b") })
        for index in round..<500 { #expect(seen.contains("stay \(index)"), "\(index)") }
    }

    /// All names share two hash values: lists of sequences carry the difference.
    @Test func collidingNamesAreAllFound() throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet, nameHashMask: 1)
        for index in 0..<200 { _ = try files.make("name \(index)") }
        let numbers = try (0..<200).map { try files.find("name \($0)") }
        #expect(Set(numbers).count == 200)
        for index in stride(from: 0, to: 200, by: 2) {
            try files.remove(Name("name \(index)"), in: files.root, .nonDirectory)
        }
        for index in 0..<200 {
            let expected: Errno? = index % 2 == 0 ? .noSuchFileOrDirectory : nil
            #expect(errno { try files.find("name \(index)") } == expected)
        }
    }

    @Test func pathsFollowRenames() throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet)
        let first = try files.make("a", kind: .directory)
        let second = try files.make("b", in: first, kind: .directory)
        let file = try files.make("c", in: second)
        #expect(files.path(of: file) == "/a/b/c")
        #expect(files.path(of: files.root) == "/")
        try files.rename(Name("b"), in: first, to: Name("z"), in: files.root, [])
        #expect(files.path(of: file) == "/z/c")
        #expect(try files.parent(of: second) == files.root)
        try files.rename(Name("z"), in: files.root, to: Name("a"), in: files.root, .exchange)
        #expect(files.path(of: file) == "/a/c")
        #expect(files.path(of: first) == "/z")
        try files.remove(Name("c"), in: second, .nonDirectory)
        #expect(files.path(of: file) == nil)
    }

    @Test func timesFollowWhatHappens() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("f")
        let made = try files.attributes(node)
        #expect(made.birthTime == made.modificationTime)
        try files.write(pattern(8192, seed: 1), to: node, at: 0)
        try files.sync()
        let first = try files.attributes(node)
        #expect(first.modificationTime > made.modificationTime && first.birthTime == made.birthTime)
        try files.write([1], to: node, at: 0)
        let second = try files.attributes(node)
        #expect(second.modificationTime > first.modificationTime)
        _ = try files.read(node, count: 1)
        let third = try files.attributes(node)
        #expect(third.accessTime > second.modificationTime && third.modificationTime == second.modificationTime)
        _ = try files.read(node, count: 1)
        #expect(try files.attributes(node) == third, "relatime: a second read leaves no trace")
        var change = AttributeChange()
        change.modificationTime = .exact(Timestamp(seconds: -5, nanoseconds: 999_999_999))
        let fourth = try files.setAttributes(node, change, by: .root)
        #expect(fourth.modificationTime == Timestamp(seconds: -5, nanoseconds: 999_999_999))
        try files.close()
        let again = try EncFS(mounting: device.crash(), .quiet)
        #expect(try again.attributes(again.find("f")) == fourth)
    }
}
