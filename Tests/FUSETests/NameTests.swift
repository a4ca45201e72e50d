import CLinux
import Foundation
import Glibc
import MemFS
import Testing

@testable import FUSEFront

/// Directories, links and names through a real mount.
@Suite(.mounts) struct NameTests {
    @Test func renamesWithinAndAcross() throws {
        try Mounted.with { root throws in
            let (first, second) = (root + "/first", root + "/second")
            #expect(mkdir(first, 0o755) == 0)
            #expect(mkdir(second, 0o755) == 0)
            try OpenFile(first + "/file", O_CREAT | O_RDWR).write([1], at: 0)
            try OpenFile(second + "/file", O_CREAT | O_RDWR).write([2], at: 0)
            #expect(rename(first + "/file", second + "/file") == 0)
            #expect(!exists(first + "/file"))
            #expect(try OpenFile(second + "/file", O_RDONLY).read(1, at: 0) == [1])
            // A directory cannot go below itself, nor onto one that is not empty.
            #expect(failure(rename(second, second + "/deeper")) == EINVAL)
            #expect(failure(rename(first, second)) == ENOTEMPTY)
            #expect(rename(second, first) == 0)
            #expect(exists(first + "/file"))
        }
    }

    @Test func renameFlags() throws {
        try Mounted.with { root throws in
            try OpenFile(root + "/a", O_CREAT | O_RDWR).write([1], at: 0)
            try OpenFile(root + "/b", O_CREAT | O_RDWR).write([2], at: 0)
            #expect(failure(renameat2(AT_FDCWD, root + "/a", AT_FDCWD, root + "/b", 1)) == EEXIST)
            #expect(renameat2(AT_FDCWD, root + "/a", AT_FDCWD, root + "/b", 2) == 0)
            #expect(try OpenFile(root + "/a", O_RDONLY).read(1, at: 0) == [2])
            #expect(try OpenFile(root + "/b", O_RDONLY).read(1, at: 0) == [1])
            #expect(failure(renameat2(AT_FDCWD, root + "/a", AT_FDCWD, root + "/b", 4)) == EINVAL)
        }
    }

    @Test func hardAndSymbolicLinks() throws {
        try Mounted.with { root throws in
            try OpenFile(root + "/file", O_CREAT | O_RDWR).write([1, 2, 3], at: 0)
            #expect(link(root + "/file", root + "/other") == 0)
            #expect(try status(root + "/file").st_nlink == 2)
            #expect(try status(root + "/file").st_ino == status(root + "/other").st_ino)
            #expect(unlink(root + "/file") == 0)
            #expect(try status(root + "/other").st_nlink == 1)
            let target = String(repeating: "x/", count: 400)
            #expect(symlink(target, root + "/link") == 0)
            var text = [CChar](repeating: 0, count: 4096)
            #expect(readlink(root + "/link", &text, text.count) == target.utf8.count)
            #expect(
                String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) == target)
            #expect(failure(link(root, root + "/directory")) != 0)
        }
    }

    @Test func specialFiles() throws {
        try Mounted.with { root throws in
            #expect(mkfifo(root + "/fifo", 0o600) == 0)
            #expect(try status(root + "/fifo").st_mode & S_IFMT == S_IFIFO)
            if Machine.isRoot {
                #expect(mknod(root + "/device", S_IFCHR | 0o600, 0x0103) == 0)
                #expect(try status(root + "/device").st_rdev == 0x0103)
            }
        }
    }

    @Test func aLargeDirectoryIsListedOnce() throws {
        try Mounted.with { root throws in
            let names = (0..<5000).map { "entry with a somewhat longer name \($0)" }
            for name in names { _ = try OpenFile(root + "/" + name, O_CREAT | O_WRONLY) }
            #expect(try FileManager.default.contentsOfDirectory(atPath: root).sorted() == names.sorted())
            let raw = list(root)
            #expect(raw.filter { $0 == "." || $0 == ".." }.sorted() == [".", ".."])
            #expect(raw.count == names.count + 2)
            // With attributes, as `ls -l` asks for them.
            for name in list(root) where name != ".." { _ = try status(root + "/" + name) }
            for name in names { #expect(unlink(root + "/" + name) == 0) }
            #expect(list(root).count == 2)
        }
    }

    @Test func removingWhileListing() throws {
        try Mounted.with { root throws in
            for index in 0..<3000 { _ = try OpenFile(root + "/\(index)", O_CREAT | O_WRONLY) }
            let stream = try #require(opendir(root))
            defer { closedir(stream) }
            var seen: [String] = []
            while let entry = readdir(stream) {
                let name = nameOf(entry)
                if name == "." || name == ".." { continue }
                seen.append(name)
                #expect(unlink(root + "/" + name) == 0)
            }
            #expect(Set(seen).count == seen.count)
            #expect(seen.count == 3000)
        }
    }

    @Test func parentsAreTold() throws {
        try Mounted.with { root throws in
            #expect(mkdir(root + "/a", 0o755) == 0)
            #expect(mkdir(root + "/a/b", 0o755) == 0)
            #expect(try status(root + "/a/b/..").st_ino == status(root + "/a").st_ino)
            let stream = try #require(opendir(root + "/a/b"))
            defer { closedir(stream) }
            while let entry = readdir(stream) {
                guard nameOf(entry) == ".." else { continue }
                #expect(try entry.pointee.d_ino == status(root + "/a").st_ino)
            }
        }
    }

    @Test func errorsAreTheUsualOnes() throws {
        try Mounted.with { root throws in
            #expect(mkdir(root + "/directory", 0o755) == 0)
            _ = try OpenFile(root + "/directory/file", O_CREAT | O_WRONLY)
            #expect(failure(mkdir(root + "/directory", 0o755)) == EEXIST)
            #expect(failure(rmdir(root + "/directory")) == ENOTEMPTY)
            #expect(failure(unlink(root + "/directory")) == EISDIR)
            #expect(failure(rmdir(root + "/directory/file")) == ENOTDIR)
            #expect(failure(unlink(root + "/missing")) == ENOENT)
            #expect(failure(casemate_open(root + "/directory/file/x", O_RDONLY, 0)) == ENOTDIR)
            #expect(failure(mkdir(root + "/" + String(repeating: "x", count: 256), 0o755)) == ENAMETOOLONG)
            #expect(mkdir(root + "/" + String(repeating: "x", count: 255), 0o755) == 0)
            // A control nobody answers.
            let directory = try OpenFile(root, O_RDONLY)
            #expect(failure(casemate_ioctl(directory.descriptor, 0x5401, nil)) == ENOTTY)
        }
    }

    @Test func extendedAttributes() throws {
        try Mounted.with { root throws in
            let path = root + "/file"
            _ = try OpenFile(path, O_CREAT | O_WRONLY)
            let value = pattern(1000)
            #expect(setxattr(path, "user.one", value, value.count, 0) == 0)
            #expect(setxattr(path, "user.two", [1], 1, 0) == 0)
            #expect(failure(setxattr(path, "user.one", [1], 1, 1)) == EEXIST)
            #expect(failure(setxattr(path, "user.none", [1], 1, 2)) == ENODATA)
            var room = [UInt8](repeating: 0, count: 2000)
            #expect(getxattr(path, "user.one", &room, room.count) == 1000)
            #expect(Array(room[..<1000]) == value)
            #expect(getxattr(path, "user.one", nil, 0) == 1000)
            #expect(failure(getxattr(path, "user.one", &room, 10)) == ERANGE)
            let size = listxattr(path, nil, 0)
            var names = [CChar](repeating: 0, count: size)
            #expect(listxattr(path, &names, size) == size)
            let listed = names.split(separator: 0).map {
                String(decoding: $0.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
            #expect(listed.sorted() == ["user.one", "user.two"])
            #expect(removexattr(path, "user.one") == 0)
            #expect(failure(getxattr(path, "user.one", nil, 0)) == ENODATA)
            // A list of nothing takes the list away (acl(5)); what is no list is refused.
            #expect(setxattr(path, "system.posix_acl_access", [2, 0, 0, 0], 4, 0) == 0)
            #expect(failure(getxattr(path, "system.posix_acl_access", nil, 0)) == ENODATA)
            #expect(failure(setxattr(path, "system.posix_acl_access", [9, 0, 0, 0], 4, 0)) == EOPNOTSUPP)
        }
    }

    private func list(_ path: String) -> [String] {
        guard let stream = opendir(path) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) { names.append(nameOf(entry)) }
        return names
    }

    private func nameOf(_ entry: UnsafeMutablePointer<dirent>) -> String {
        withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
    }
}
