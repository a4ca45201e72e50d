import Foundation
import Glibc
import MemFS
import Testing

@testable import FUSEFront

/// Other users at a mount that lets them in.
@Suite(.mountsAsRoot) struct OwnershipTests {
    private static let user = "--reuid=12345 --regid=23456 --clear-groups"

    private func asUser(_ script: String) throws -> Program.Result {
        try Program.shell("exec setpriv \(Self.user) sh -c '\(script)'")
    }

    private func withOpenMount(_ body: (String) throws -> Void) throws {
        var options = FUSEOptions()
        options.audience = .everybody
        let mounted = try Mounted(MemFS(), options)
        defer { mounted.end() }
        chmod(mounted.path + "/..", 0o755)
        try body(mounted.path)
    }

    @Test func whatAUserMakesIsTheUsers() throws {
        try withOpenMount { root throws in
            let result = try asUser("umask 027; cd \(root) && mkdir d && echo x > d/f && ln -s f d/l && mkfifo d/p")
            try #require(result.status == 0, "\(result.error)")
            for name in ["/d", "/d/f", "/d/l", "/d/p"] {
                let status = try status(root + name)
                #expect(status.st_uid == 12345 && status.st_gid == 23456, "\(name)")
            }
            #expect(try status(root + "/d").st_mode & 0o7777 == 0o750)
            #expect(try status(root + "/d/f").st_mode & 0o7777 == 0o640)
        }
    }

    @Test func directoriesHandOnTheirGroup() throws {
        try withOpenMount { root throws in
            #expect(mkdir(root + "/shared", 0o777) == 0)
            #expect(chown(root + "/shared", 0, 777) == 0)
            #expect(chmod(root + "/shared", 0o2777) == 0)
            let result = try asUser("cd \(root)/shared && mkdir d && echo x > f")
            try #require(result.status == 0, "\(result.error)")
            #expect(try status(root + "/shared/f").st_gid == 777)
            #expect(try status(root + "/shared/d").st_gid == 777)
            #expect(try status(root + "/shared/d").st_mode & 0o2000 == 0o2000)
        }
    }

    @Test func permissionsHold() throws {
        try withOpenMount { root throws in
            _ = try OpenFile(root + "/secret", O_CREAT | O_WRONLY, 0o600)
            #expect(mkdir(root + "/closed", 0o700) == 0)
            #expect(try asUser("cat \(root)/secret").error.contains("Permission denied"))
            #expect(try asUser("ls \(root)/closed").error.contains("Permission denied"))
            #expect(try asUser("touch \(root)/closed/x").error.contains("Permission denied"))
            // The root is sticky: others' files cannot be removed.
            #expect(try asUser("rm -f \(root)/secret").status != 0)
            #expect(try asUser("chmod 666 \(root)/secret").status != 0)
            #expect(exists(root + "/secret"))
        }
    }

    @Test func withoutAllowOtherNobodyElseEnters() throws {
        let mounted = try Mounted()
        defer { mounted.end() }
        chmod(mounted.path + "/..", 0o755)
        #expect(try asUser("ls \(mounted.path)").error.contains("Permission denied"))
        #expect(try asUser("stat \(mounted.path)/x").status != 0)
    }

    @Test func privilegesGoWithAWrite() throws {
        try withOpenMount { root throws in
            let path = root + "/program"
            func prepare() throws {
                _ = unlink(path)
                let file = try OpenFile(path, O_CREAT | O_RDWR)
                try file.write(pattern(5000), at: 0)
                #expect(fchmod(file.descriptor, 0o6777) == 0)
            }
            try prepare()
            #expect(try asUser("printf x | dd of=\(path) conv=notrunc 2>/dev/null").status == 0)
            #expect(try status(path).st_mode & 0o7777 == 0o777)
            try prepare()
            #expect(try asUser(": > \(path)").status == 0)
            #expect(try status(path).st_mode & 0o7777 == 0o777)
            try prepare()
            #expect(try asUser("truncate -s 10 \(path)").status == 0)
            #expect(try status(path).st_mode & 0o7777 == 0o777)
            // Root keeps them when writing and loses them when the owner changes.
            try prepare()
            try OpenFile(path, O_WRONLY).write([1], at: 0)
            #expect(try status(path).st_mode & 0o7777 == 0o6777)
            #expect(chown(path, 12345, 23456) == 0)
            #expect(try status(path).st_mode & 0o7777 == 0o777)
        }
    }

    @Test func capabilitiesGoWithAnyWrite() throws {
        try withOpenMount { root throws in
            let path = root + "/program"
            let file = try OpenFile(path, O_CREAT | O_RDWR, 0o755)
            try file.write([1, 2, 3], at: 0)
            // VFS_CAP_REVISION_2, CAP_NET_RAW.
            let capability: [UInt8] = [0, 0, 0, 2, 0, 0x20, 0, 0] + [UInt8](repeating: 0, count: 12)
            #expect(setxattr(path, "security.capability", capability, capability.count, 0) == 0)
            try file.write([4], at: 0)
            #expect(failure(getxattr(path, "security.capability", nil, 0)) == ENODATA)
        }
    }
}
