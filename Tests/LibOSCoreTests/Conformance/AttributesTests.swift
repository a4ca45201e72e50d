import Foundation
import Testing
import VFS

/// `chmod(2)`, `chown(2)`, `utimensat(2)`, `xattr(7)`, and the times of `inode(7)`.
@Suite struct AttributesTests {
    @Test(arguments: Subject.having(.owners)) func changesStay(_ subject: Subject) throws {
        let it = try subject.make()
        for node in [try it.file("file"), try it.directory("directory")] {
            try it.set(node) { $0.owner = 11 }
            try it.set(node) { $0.group = 22 }
            try it.set(node) { $0.permissions = 0o1751 }
            var found = try it.attributes(node)
            #expect((found.owner, found.group, found.permissions) == (11, 22, 0o1751))
            try it.set(node) {
                $0.accessTime = .exact(Timestamp(seconds: -5, nanoseconds: 123_456_789))
                $0.modificationTime = .exact(Timestamp(seconds: 4_000_000_000, nanoseconds: 999_999_999))
            }
            found = try it.attributes(node)
            #expect(found.accessTime == Timestamp(seconds: -5, nanoseconds: 123_456_789))
            #expect(found.modificationTime == Timestamp(seconds: 4_000_000_000, nanoseconds: 999_999_999))
            #expect((found.owner, found.group, found.permissions) == (11, 22, 0o1751))
        }
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func symbolicLinksHaveTimesOfTheirOwn(_ subject: Subject) throws {
        let it = try subject.make()
        let target = try it.file("target")
        let before = try it.attributes(target)
        let link = try it.files.make(
            NewNode(kind: .symbolicLink, permissions: 0o777, target: Array("target".utf8)), named: name("link"),
            in: it.root, by: .root
        ).node
        try it.set(link) { $0.modificationTime = .exact(Timestamp(seconds: 77, nanoseconds: 7)) }
        #expect(try it.attributes(link).modificationTime == Timestamp(seconds: 77, nanoseconds: 7))
        #expect(try it.attributes(target) == before)
    }

    /// Which of modification and change time a call moves; `other` is the file itself for calls on a directory's entry.
    @Test(arguments: Subject.all) func callsMoveTimes(_ subject: Subject) throws {
        let it = try subject.make()
        let old = Timestamp(seconds: 1000, nanoseconds: 0)
        let directory = try it.directory("directory")
        let file = try it.file("file", in: directory, "contents")

        func moves(_ node: NodeID, modified: Bool, _ what: String, _ body: () throws -> Void) throws {
            try it.set(node) {
                $0.accessTime = .exact(old)
                $0.modificationTime = .exact(old)
            }
            let before = try it.attributes(node)
            // Host clocks tick every few milliseconds.
            usleep(12_000)
            try body()
            let after = try it.attributes(node)
            #expect((after.modificationTime != old) == modified, "modification time, \(what)")
            #expect(after.changeTime > before.changeTime, "change time, \(what)")
            if modified { #expect(after.modificationTime == after.changeTime, "both at once, \(what)") }
        }
        try moves(file, modified: true, "write") { try it.write(file, at: 0, [1]) }
        try moves(file, modified: true, "truncate") { try it.set(file) { $0.size = 3 } }
        try moves(file, modified: false, "chmod") { try it.set(file) { $0.permissions = 0o600 } }
        try moves(file, modified: false, "link") { _ = try it.files.link(file, as: name("second"), in: directory) }
        try moves(file, modified: false, "unlink") { try it.remove("second", in: directory) }
        try moves(file, modified: false, "rename") {
            try it.rename("file", in: directory, to: "renamed", into: directory)
        }
        try moves(directory, modified: true, "make") { try it.file("new", in: directory) }
        try moves(directory, modified: true, "unlink in") { try it.remove("new", in: directory) }
        try moves(directory, modified: true, "mkdir") { try it.directory("sub", in: directory) }
        try moves(directory, modified: true, "rmdir") { try it.remove("sub", in: directory, .directory) }
        try moves(directory, modified: true, "link in") {
            _ = try it.files.link(file, as: name("linked"), in: directory)
        }
        try moves(directory, modified: true, "rename in") {
            try it.rename("linked", in: directory, to: "relinked", into: directory)
        }
        try moves(directory, modified: true, "rename out") {
            try it.rename("relinked", in: directory, to: "out")
        }
    }

    /// `relatime`: the first read after a change moves the access time, the next does not.
    @Test(arguments: Subject.having(.accessTimes)) func accessTimeIsRelative(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("file", "x")
        let now = Timestamp.now
        try it.set(file) {
            $0.accessTime = .exact(Timestamp(seconds: now.seconds - 10, nanoseconds: 0))
            $0.modificationTime = .exact(Timestamp(seconds: now.seconds - 5, nanoseconds: 0))
        }
        _ = try it.read(file)
        let first = try it.attributes(file).accessTime
        #expect(first >= now)
        _ = try it.read(file)
        #expect(try it.attributes(file).accessTime == first)
        try it.set(file) { $0.accessTime = .exact(Timestamp(seconds: now.seconds - 10, nanoseconds: 0)) }
        try it.withHandle(file, [.read, .noAccessTime]) { _ = try it.read(file, $0, at: 0, count: 1) }
        #expect(try it.attributes(file).accessTime.seconds == now.seconds - 10)
    }

    @Test(arguments: Subject.having(.birthTimes)) func birthTimeStays(_ subject: Subject) throws {
        let it = try subject.make()
        let start = Timestamp.now
        let file = try it.file("file")
        let born = try it.attributes(file).birthTime
        #expect(born.seconds >= start.seconds - 1)
        usleep(12_000)
        try it.write(file, at: 0, [1])
        try it.set(file) { $0.permissions = 0o700 }
        #expect(try it.attributes(file).birthTime == born)
    }

    /// An unprivileged write takes set-user-ID away, and set-group-ID where the group may execute.
    @Test(arguments: Subject.all) func unprivilegedWritesClearPrivileges(_ subject: Subject) throws {
        let it = try subject.make()
        for (before, after) in [(UInt16(0o6755), UInt16(0o755)), (0o6745, 0o2745), (0o4644, 0o644)] {
            let file = try it.file("f\(before)", "x")
            func reset() throws { try it.set(file) { $0.permissions = before } }
            try reset()
            try it.write(file, at: 0, [1])
            #expect(try it.attributes(file).permissions == before)
            try it.write(file, at: 0, [2], .clearsPrivileges)
            #expect(try it.attributes(file).permissions == after)
            try reset()
            try it.set(file) {
                $0.size = 0
                $0.clearsPrivileges = true
            }
            #expect(try it.attributes(file).permissions == after)
        }
    }

    @Test(arguments: Subject.having(.extendedAttributes)) func extendedAttributes(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("file")
        let first = Array("user.first".utf8)
        let second = Array("user.second".utf8)
        #expect(try it.files.extendedAttributeNames(of: file).isEmpty)
        expect(.noSuchAttribute) { try it.files.extendedAttribute(first, of: file) }
        expect(.noSuchAttribute) { try it.files.removeExtendedAttribute(first, of: file) }
        expect(.noSuchAttribute) { try it.files.setExtendedAttribute(first, of: file, to: [1], .replace) }
        try it.files.setExtendedAttribute(first, of: file, to: [1, 0, 2], .create)
        expect(.fileExists) { try it.files.setExtendedAttribute(first, of: file, to: [], .create) }
        try it.files.setExtendedAttribute(second, of: file, to: [], .createOrReplace)
        #expect(try it.files.extendedAttribute(first, of: file) == [1, 0, 2])
        #expect(try it.files.extendedAttribute(second, of: file) == [])
        #expect(Set(try it.files.extendedAttributeNames(of: file)) == [first, second])
        let longer = [UInt8](repeating: 9, count: 1000)
        try it.files.setExtendedAttribute(first, of: file, to: longer, .replace)
        #expect(try it.files.extendedAttribute(first, of: file) == longer)
        try it.files.removeExtendedAttribute(first, of: file)
        #expect(try it.files.extendedAttributeNames(of: file) == [second])
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.extendedAttributes)) func extendedAttributeLimits(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("file")
        let longest = Array("user.".utf8) + [UInt8](repeating: 97, count: 250)
        try it.files.setExtendedAttribute(longest, of: file, to: [1], .create)
        #expect(try it.files.extendedAttribute(longest, of: file) == [1])
        expect(.outOfRange) { try it.files.setExtendedAttribute(longest + [97], of: file, to: [1], .create) }
        expect(.outOfRange) { try it.files.setExtendedAttribute([], of: file, to: [1], .create) }
        expect(.notSupported) {
            try it.files.setExtendedAttribute(Array("nowhere.x".utf8), of: file, to: [1], .create)
        }
        expect(.argListTooLong) {
            try it.files.setExtendedAttribute(
                Array("user.big".utf8), of: file, to: [UInt8](repeating: 0, count: 65_537), .create)
        }
    }
}
