import CLinux
import Foundation
import Glibc
import Testing

@testable import FUSEFront

/// ext4 on a loop device on the block front, served by another process: what mainstream filesystems get.
@Suite(.serialized, .enabled(if: Loop.isThere, Loop.missing)) struct LoopTests {
    @Test func ext4LivesOnABlockFront() throws {
        let volume = try Loop()
        try volume.attach()
        #expect(try volume.shell("cat /sys/block/$(basename $LOOP)/queue/discard_max_bytes").output != "0\n")
        try volume.require("mkfs.ext4 -q -b 4096 $LOOP && mount $LOOP $TREE")
        try volume.require(
            "cp -r /usr/include/linux $TREE/tree && dd if=/dev/urandom of=$TREE/large bs=1M count=24 status=none")
        // What was trimmed is given back to the volume.
        try volume.require("sync -f $TREE")
        let full = try volume.liveBytes()
        try volume.require("rm $TREE/large && sync -f $TREE && fstrim $TREE && sync $LOOP")
        let trimmed = try volume.liveBytes()
        #expect(full - trimmed > 20 << 20, "\(full), \(trimmed)")
        try volume.require("umount $TREE && e2fsck -f -n $LOOP")
        try volume.detach()
        try volume.unmount()
        try volume.attach()
        try volume.require(
            "mount $LOOP $TREE && diff -r /usr/include/linux $TREE/tree && umount $TREE && e2fsck -f -n $LOOP")
        try volume.detach()
        try volume.unmount()
        let check = try Program.run(Loop.casemate, ["fsck", volume.path, "--read-data"] + volume.secret)
        #expect(check.status == 0 && check.output.contains("none of ours"), "\(check.output)\(check.error)")
    }

    /// The disk grows below a mounted ext4, and shrinks again once its end is given up.
    @Test func theDiskTakesAnotherSize() throws {
        let volume = try Loop()
        try volume.attach()
        func resize(_ size: String) throws -> Program.Result {
            try Program.run(Loop.casemate, ["resize", volume.daemon.mountpoint, size])
        }
        // A loop device looks at the size that the kernel knows, which stat(1) brings up to date.
        let refresh = "stat $DISK >/dev/null && losetup -c $LOOP"
        try volume.require("mkfs.ext4 -q -b 4096 $LOOP && mount $LOOP $TREE && cp -r /usr/include/linux $TREE/tree")
        let grown = try resize("160M")
        #expect(grown.status == 0, "\(grown.error)")
        // Unmounted, as the kernel's online resizing is not for every container's root.
        try volume.require(
            "\(refresh) && umount $TREE && e2fsck -f -n $LOOP && resize2fs $LOOP && mount $LOOP $TREE")
        try volume.require("head -c 100M /dev/urandom > $TREE/large && sync -f $TREE && rm $TREE/large")
        try volume.require("umount $TREE && e2fsck -f -p $LOOP")
        let refused = try resize("96M")
        #expect(refused.status == 62 && refused.error.contains("behind the new end"), "\(refused.error)")
        try volume.require("resize2fs $LOOP 96M && blkdiscard --offset 96M $LOOP && sync $LOOP")
        let shrunk = try resize("96M")
        #expect(shrunk.status == 0, "\(shrunk.error)")
        try volume.require("\(refresh) && e2fsck -f -n $LOOP && mount $LOOP $TREE")
        try volume.require("diff -r /usr/include/linux $TREE/tree && umount $TREE")
        try volume.detach()
        try volume.unmount()
    }

    /// The daemon dies in the middle of it: ext4's journal replays cleanly, and every file whose fsync returned is there.
    @Test(arguments: 1...3) func fsyncedFilesOutliveTheDaemon(_ round: Int) throws {
        let volume = try Loop()
        try volume.attach()
        try volume.require("mkfs.ext4 -q -b 4096 $LOOP && mount $LOOP $TREE")
        // Names go to a file outside only after their fsync; the pipe's end kills the writer with the daemon.
        let writer = try volume.start(
            """
            i=0; while :; do i=$((i + 1)); seq $i $((i + 2000)) > $TREE/f$i && sync $TREE/f$i $TREE && echo $i >> $BASE/acknowledged || exit 0; done
            """)
        defer { volume.end(writer) }
        for _ in 0..<600 where try volume.acknowledged() < 4 * round { usleep(50_000) }
        let before = try volume.acknowledged()
        try #require(before >= 4 * round)
        try volume.daemon.kill()
        volume.end(writer)
        let count = try volume.acknowledged()
        try volume.require("umount -l $TREE")
        try volume.detach()
        try volume.unmount()
        try volume.attach()
        let check = try volume.shell("e2fsck -f -y $LOOP")
        // 0: clean; 1: the journal was replayed and counts brought up to date. Anything else is damage.
        #expect(check.status <= 1, "\(check.output)\(check.error)")
        try volume.require("e2fsck -f -n $LOOP && mount $LOOP $TREE")
        for number in 1...count {
            try volume.require("seq \(number) \(number + 2000) | cmp - $TREE/f\(number)")
        }
        try volume.require("umount $TREE")
        try volume.detach()
        try volume.unmount()
    }

    @Test func aVolumeWithFilesIsNotWrittenBelowThem() throws {
        let scratch = try ScratchDirectory()
        let (volume, secret) = try TestVolume.make(in: scratch)
        let point = try scratch.make("mount")
        let run = try Program.run(Program.fuseDebug, ["--block", volume, "--passphrase-file", secret, point])
        #expect(run.status == 46 && run.error.contains("--no-filesystem"), "\(run.status) \(run.error)")
    }
}

/// A plain volume, its block front in a process of its own, and a loop device on it.
final class Loop {
    static let missing: Comment = "needs root, /dev/fuse, loop devices, mkfs.ext4, e2fsck, resize2fs and fstrim"
    static let isThere: Bool = {
        let tools = [
            "/usr/sbin/losetup", "/usr/sbin/mkfs.ext4", "/usr/sbin/e2fsck", "/usr/sbin/resize2fs",
            "/usr/sbin/fstrim",
        ]
        guard Machine.canMount, Machine.isRoot, tools.allSatisfy({ access($0, X_OK) == 0 }) else { return false }
        // Not every container lets root have one.
        return (try? Program.shell("losetup --find").status) == 0
    }()
    static let casemate = URL(fileURLWithPath: Program.fuseDebug).deletingLastPathComponent()
        .appendingPathComponent("casemate").path

    let scratch: ScratchDirectory
    let path: String
    let secret: [String]
    private(set) var daemon: DebugDaemon
    private var loop: String?
    private let tree: String

    init() throws {
        scratch = try ScratchDirectory()
        path = scratch.path + "/volume"
        let key = scratch.path + "/key"
        try Data((0..<32).map { UInt8($0) }).write(to: URL(fileURLWithPath: key))
        #expect(chmod(key, 0o600) == 0)
        secret = ["--key-file", key]
        tree = try scratch.make("tree")
        let made = try Program.run(
            Self.casemate, ["create", path, "--size", "96M", "--segment-size", "1M", "--no-filesystem"] + secret)
        try #require(made.status == 0, "\(made.error)")
        daemon = try DebugDaemon(["--block", path] + secret, in: scratch)
    }

    deinit {
        // Innermost first, whatever became of the test.
        _ = umount2(tree, 2)
        if let loop { _ = try? Program.run("/usr/sbin/losetup", ["-d", loop]) }
    }

    func attach() throws {
        if !daemon.isMounted { try daemon.start() }
        let made = try Program.run(
            "/usr/sbin/losetup", ["--find", "--show", "--direct-io=on", daemon.mountpoint + "/disk"])
        try #require(made.status == 0, "\(made.error)")
        loop = made.output.split(separator: "\n").first.map(String.init)
    }

    func detach() throws {
        guard let loop else { return }
        let run = try Program.run("/usr/sbin/losetup", ["-d", loop])
        try #require(run.status == 0, "\(run.error)")
        self.loop = nil
    }

    /// Takes the block front down; it may be dead. The kernel lets go of a loop device a little later.
    func unmount() throws {
        var run = Program.Result(status: -1, output: "", error: "")
        for _ in 0..<100 {
            run = try Program.run(Self.casemate, ["unmount", daemon.mountpoint])
            guard run.status == 56 else { break }
            usleep(100_000)
        }
        try #require(run.status == 0, "\(run.error)")
    }

    private func prepared(_ script: String) -> String {
        "LOOP=\(loop ?? "none"); TREE=\(tree); BASE=\(scratch.path); DISK=\(daemon.mountpoint)/disk; " + script
    }

    func shell(_ script: String) throws -> Program.Result {
        try Program.run("/usr/bin/timeout", ["-k", "5", "120", "/bin/sh", "-c", prepared(script)])
    }

    func require(_ script: String) throws {
        let run = try shell(script)
        try #require(run.status == 0, "\(script): \(run.status) \(run.output)\(run.error)")
    }

    func start(_ script: String) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
        process.arguments = ["-k", "5", "120", "/bin/sh", "-c", prepared(script)]
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    func end(_ process: Process) {
        guard process.isRunning else { return }
        // timeout(1) hands it on to what it runs.
        process.terminate()
        process.waitUntilExit()
    }

    func acknowledged() throws -> Int {
        let text = FileManager.default.contents(atPath: scratch.path + "/acknowledged").map {
            String(decoding: $0, as: UTF8.self)
        }
        return text?.split(separator: "\n").count ?? 0
    }

    /// What the volume holds now; the process that serves it tells.
    func liveBytes() throws -> Int {
        let run = try Program.run(Self.casemate, ["info", daemon.mountpoint, "--json"])
        try #require(run.status == 0, "\(run.error)")
        let text = run.output.split(separator: "\n").first { $0.contains("\"liveBytes\"") } ?? ""
        return Int(text.filter(\.isNumber)) ?? 0
    }
}
