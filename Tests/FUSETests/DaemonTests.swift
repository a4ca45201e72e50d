import CLinux
import Foundation
import Glibc
import Testing

@testable import FUSEFront

/// `fuse-debug` as a process of its own, in the background.
@Suite(.mounts) struct DaemonTests {
    @Test func severalFilesystemsInOneTree() throws {
        let scratch = try ScratchDirectory()
        let host = try scratch.make("host")
        try Data("from the host".utf8).write(to: URL(fileURLWithPath: host + "/file"))
        let daemon = try DebugDaemon(
            ["--mount", "mem:/", "--mount", "mem:/tmp", "--mount", "host:/src=\(host)"], in: scratch)
        let root = daemon.mountpoint
        #expect(try String(contentsOfFile: root + "/src/file", encoding: .utf8) == "from the host")
        try Data("x".utf8).write(to: URL(fileURLWithPath: root + "/tmp/x"))
        #expect(failure(rename(root + "/tmp/x", root + "/src/x")) == EXDEV)
        #expect(failure(rmdir(root + "/tmp")) == EBUSY)
        try Data("new".utf8).write(to: URL(fileURLWithPath: root + "/src/new"))
        #expect(try String(contentsOfFile: host + "/new", encoding: .utf8) == "new")
        let process = try daemon.process()
        #expect(try Unmounting.unmount(root) == .closed)
        #expect(!daemon.isMounted)
        for _ in 0..<200 where kill(process, 0) == 0 { usleep(10_000) }
        #expect(kill(process, 0) != 0)
    }

    @Test func sharedMappingsReachTheFile() throws {
        let scratch = try ScratchDirectory()
        let daemon = try DebugDaemon(["--mount", "mem:/"], in: scratch)
        let path = daemon.mountpoint + "/file"
        let file = try OpenFile(path, O_CREAT | O_RDWR)
        let bytes = pattern(64 << 10)
        try file.write(bytes, at: 0)
        let map = try #require(mmap(nil, bytes.count, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor, 0))
        try #require(map != MAP_FAILED)
        #expect(Array(UnsafeRawBufferPointer(start: map, count: bytes.count)) == bytes)
        map.storeBytes(of: 0xABCD, toByteOffset: 8192, as: UInt16.self)
        #expect(msync(map, bytes.count, Int32(MS_SYNC)) == 0)
        munmap(map, bytes.count)
        #expect(try file.read(2, at: 8192) == [0xCD, 0xAB])
    }

    @Test func aKilledServerLeavesADeadMountThatCanBeTakenAway() throws {
        let scratch = try ScratchDirectory()
        let daemon = try DebugDaemon(["--mount", "mem:/"], in: scratch)
        try daemon.kill()
        #expect(failure(casemate_open(daemon.mountpoint + "/x", O_RDONLY, 0)) == ENOTCONN)
        #expect(throws: FUSEError.mountpointDead(daemon.mountpoint)) {
            try MountpointCheck.check(daemon.mountpoint)
        }
        let again = try Program.run(Program.fuseDebug, ["--mount", "mem:/", daemon.mountpoint])
        #expect(again.status == 54)
        #expect(try Unmounting.unmount(daemon.mountpoint) == .wasDead)
        try daemon.start()
        #expect(try Unmounting.unmount(daemon.mountpoint) == .closed)
    }

    @Test func anEncryptedVolumeKeepsWhatWasSynchronised() throws {
        let scratch = try ScratchDirectory()
        let (volume, secret) = try TestVolume.make(in: scratch)
        let arguments = ["--mount", "enc:/=\(volume)", "--passphrase-file", secret, "-o", "commit=3600"]
        let daemon = try DebugDaemon(arguments, in: scratch)
        let root = daemon.mountpoint
        let bytes = pattern(300_000)
        #expect(mkdir(root + "/directory", 0o750) == 0)
        try OpenFile(root + "/directory/file", O_CREAT | O_RDWR, 0o640).write(bytes, at: 0)
        #expect(symlink("directory/file", root + "/link") == 0)
        try Unmounting.synchronise(root)
        try OpenFile(root + "/later", O_CREAT | O_RDWR).write([1], at: 0)
        try daemon.kill()
        #expect(try Unmounting.unmount(root) == .wasDead)

        try daemon.start()
        #expect(try OpenFile(root + "/link", O_RDONLY).read(bytes.count + 1, at: 0) == bytes)
        #expect(try status(root + "/directory").st_mode & 0o7777 == 0o750)
        #expect(!exists(root + "/later"))
        // Unmounting is durable without a sync.
        try OpenFile(root + "/last", O_CREAT | O_RDWR).write(bytes, at: 12345)
        #expect(try Unmounting.unmount(root) == .closed)
        try daemon.start()
        #expect(try OpenFile(root + "/last", O_RDONLY).read(bytes.count, at: 12345) == bytes)
        #expect(try Unmounting.unmount(root) == .closed)
    }

    @Test func secretsAreInNoArgumentOrVariable() throws {
        let scratch = try ScratchDirectory()
        let (volume, secret) = try TestVolume.make(in: scratch)
        let daemon = try DebugDaemon(["--mount", "enc:/=\(volume)", "--passphrase-file", secret], in: scratch)
        let process = try daemon.process()
        for name in ["cmdline", "environ"] {
            let bytes = try SmallFile.read("/proc/\(process)/\(name)")
            #expect(!String(decoding: bytes, as: UTF8.self).contains(TestVolume.passphrase))
        }
        let limits = String(decoding: try SmallFile.read("/proc/\(process)/limits"), as: UTF8.self)
        let core = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
        #expect(core.split(separator: " ").suffix(3).prefix(2) == ["0", "0"])
        #expect(try Unmounting.unmount(daemon.mountpoint) == .closed)
    }

    @Test func failuresComeBackWithTheirExitStatus() throws {
        let scratch = try ScratchDirectory()
        let (volume, _) = try TestVolume.make(in: scratch)
        let mountpoint = try scratch.make("mount")
        let wrong = scratch.path + "/wrong"
        try Data("wrong".utf8).write(to: URL(fileURLWithPath: wrong))
        func expect(_ code: Int32, _ arguments: [String], _ text: String) throws {
            let result = try Program.run(Program.fuseDebug, arguments)
            #expect(result.status == code, "\(arguments): \(result.error)")
            #expect(result.error.contains(text), "\(result.error)")
        }
        let enc = ["--mount", "enc:/=\(volume)", "--passphrase-file", wrong]
        try expect(20, enc + [mountpoint], "wrong passphrase")
        try expect(50, ["--mount", "mem:/", mountpoint + "/missing"], "does not exist")
        try expect(51, ["--mount", "mem:/", wrong], "not a directory")
        try expect(52, ["--mount", "mem:/", scratch.path], "not empty")
        try expect(53, enc + [scratch.path], "would hide")
        try expect(64, ["--mount", "mem:/", "-o", "nonsense", mountpoint], "unknown mount option 'nonsense'")
        try expect(64, ["--mount", "tape:/", mountpoint], "tape:/")
        try expect(
            44, ["--mount", "enc:/=\(volume).missing", "--passphrase-file", wrong, mountpoint], "no such file")
        #expect(try MountTable.top(at: mountpoint) == nil)
    }

    @Test func theForegroundEndsOnASignal() throws {
        let scratch = try ScratchDirectory()
        let mountpoint = try scratch.make("mount")
        let trace = scratch.path + "/trace"
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Program.fuseDebug)
        process.arguments = ["--mount", "mem:/", "-f", "--trace", trace, mountpoint]
        process.standardError = FileHandle.nullDevice
        try process.run()
        for _ in 0..<500 where try MountTable.top(at: mountpoint) == nil { usleep(10_000) }
        _ = try OpenFile(mountpoint + "/a name\n", O_CREAT | O_RDWR)
        process.terminate()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 0)
        #expect(try MountTable.top(at: mountpoint) == nil)
        let lines = try String(contentsOfFile: trace, encoding: .utf8).split(separator: "\n")
        #expect(lines.contains { $0.contains("create 1 \"a name\\x0a\" ") && $0.hasSuffix("us") })
    }

    @Test func readOnlyChangesNothing() throws {
        let scratch = try ScratchDirectory()
        let (volume, secret) = try TestVolume.make(in: scratch)
        let before = try Data(contentsOf: URL(fileURLWithPath: volume))
        let daemon = try DebugDaemon(
            ["--mount", "enc:/=\(volume)", "--passphrase-file", secret, "--read-only"], in: scratch)
        #expect(failure(mkdir(daemon.mountpoint + "/x", 0o755)) == EROFS)
        #expect(try Unmounting.unmount(daemon.mountpoint) == .closed)
        #expect(try Data(contentsOf: URL(fileURLWithPath: volume)) == before)
    }
}
