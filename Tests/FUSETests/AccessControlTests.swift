import EncFS
import Foundation
import MemFS
import SimHost
import Testing
import VFS

@testable import FUSEFront

/// Access control lists at a mount: set by `setfacl`, enforced by the kernel, inherited by the filesystem.
@Suite(.mountsAsRoot) struct AccessControlTests {
    enum Kind: CaseIterable { case memory, encrypted }

    private func make(_ kind: Kind) throws -> any FileSystem {
        guard kind == .encrypted else { return MemFS() }
        let device = SimBlockDevice(blocks: 8192)
        var options = EncFS.FormatOptions()
        options.rootPermissions = 0o777
        try EncFS.format(device, options)
        return try EncFS(mounting: device, EncFS.MountOptions())
    }

    private func with(_ kind: Kind, _ body: (String) throws -> Void) throws {
        var options = FUSEOptions()
        options.audience = .everybody
        let mounted = try Mounted(try make(kind), options)
        defer { mounted.end() }
        chmod(mounted.path + "/..", 0o755)
        try body(mounted.path)
    }

    private func asUser(_ user: Int, _ script: String) throws -> Program.Result {
        try Program.shell("exec setpriv --reuid=\(user) --regid=\(user) --clear-groups sh -c '\(script)'")
    }

    @Test(arguments: Kind.allCases) func namedUsersGetIn(_ kind: Kind) throws {
        try with(kind) { root throws in
            let script =
                "cd \(root) && mkdir -m 700 d && echo text > d/f && chmod 600 d/f && chown -R 12345:12345 d"
            try #require(try Program.shell(script).status == 0)
            #expect(try asUser(23456, "cat \(root)/d/f").status != 0)
            let set = try asUser(12345, "setfacl -m u:23456:rx \(root)/d && setfacl -m u:23456:r \(root)/d/f")
            try #require(set.status == 0, "\(set.error)")
            #expect(try asUser(23456, "cat \(root)/d/f").output == "text\n")
            #expect(try asUser(23456, "echo x >> \(root)/d/f").status != 0)
            #expect(try asUser(23456, "setfacl -m u:23456:rw \(root)/d/f").status != 0)
            // The kernel's caches follow a chmod, which is the mask.
            try #require(chmod(root + "/d/f", 0o600) == 0)
            #expect(try asUser(23456, "cat \(root)/d/f").status != 0)
            #expect(try Program.shell("getfacl -cE \(root)/d/f").output.contains("user:23456:r--"))
        }
    }

    @Test(arguments: Kind.allCases) func defaultsReplaceTheUmask(_ kind: Kind) throws {
        try with(kind) { root throws in
            let script = """
                cd \(root) && umask 077 && mkdir -m 777 d && setfacl -d -m u:23456:rwx,g::rx,o::r d && echo x > d/f &&
                mkdir d/e && touch plain && getfacl -cE d/f d/e && stat -c %a d/f d/e plain
                """
            let result = try Program.shell(script)
            try #require(result.status == 0, "\(result.error)")
            #expect(result.output.hasSuffix("664\n774\n600\n"), "\(result.output)")
            #expect(result.output.contains("default:user:23456:rwx"))
        }
    }
}
