import CLinux
import Foundation
import Glibc
import MemFS
import Testing
import VFS

@testable import FUSEFront

/// Mounting, unmounting and what lies around them.
@Suite(.mounts) struct SessionTests {
    @Test func twoMountsAtOnce() throws {
        let first = try Mounted()
        let second = try Mounted()
        _ = try OpenFile(first.path + "/one", O_CREAT | O_WRONLY)
        _ = try OpenFile(second.path + "/two", O_CREAT | O_WRONLY)
        #expect(!exists(first.path + "/two") && !exists(second.path + "/one"))
        first.end()
        #expect(exists(second.path + "/two"))
        second.end()
        #expect(try MountTable.top(at: second.path) == nil)
    }

    @Test func unmountingFromOutsideWaitsForTheEnd() throws {
        let mounted = try Mounted()
        #expect(try Unmounting.unmount(mounted.path) == .closed)
        #expect(try MountTable.top(at: mounted.path) == nil)
        mounted.end()
    }

    /// Who copied the mount into a namespace of its own keeps the filesystem open, and nobody waits for that.
    @Test(.enabled(if: Machine.isRoot && access("/usr/bin/unshare", X_OK) == 0, "needs root and unshare"))
    func aCopyInAnotherNamespaceIsTold() throws {
        let mounted = try Mounted()
        let holder = Process()
        holder.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
        holder.arguments = ["--mount", "--propagation", "private", "/bin/sh", "-c", "echo there; exec sleep 300"]
        let said = Foundation.Pipe()
        holder.standardOutput = said
        try holder.run()
        defer {
            kill(holder.processIdentifier, SIGKILL)
            holder.waitUntilExit()
        }
        let first = try said.fileHandleForReading.read(upToCount: 1)
        try #require(first?.isEmpty == false)
        let expected = FUSEError.mountedElsewhere(
            mounted.path, process: holder.processIdentifier, place: mounted.path)
        #expect(throws: expected) { try Unmounting.unmount(mounted.path) }
        kill(holder.processIdentifier, SIGKILL)
        mounted.end()
    }

    @Test func aBusyMountStays() throws {
        let mounted = try Mounted()
        try {
            let file = try OpenFile(mounted.path + "/file", O_CREAT | O_RDWR)
            #expect(throws: FUSEError.busy(mounted.path)) { try Unmounting.unmount(mounted.path) }
            try file.write([1], at: 0)
        }()
        mounted.end()
    }

    @Test func stoppingCutsOffWhoStaysTooLong() throws {
        let filesystem = MemFS()
        let mounted = try Mounted(filesystem)
        let file = try OpenFile(mounted.path + "/file", O_CREAT | O_RDWR)
        try file.write([1], at: 0)
        #expect(unlink(mounted.path + "/file") == 0)
        mounted.end()
        #expect(failure(fsync(file.descriptor)) == ENOTCONN)
        // What the kernel held was given back without it.
        #expect(filesystem.statisticsNodes == 1)
    }

    /// Cut off and detached, a mount's path names the one below: ending must not take that too.
    @Test func endingTakesOnlyItsOwnMount() throws {
        let below = try Mounted()
        let above = try Mounted(MemFS(), over: below)
        let file = try OpenFile(above.path + "/file", O_CREAT | O_RDWR)
        above.end()
        #expect(failure(fsync(file.descriptor)) == ENOTCONN)
        _ = try OpenFile(below.path + "/still here", O_CREAT | O_RDWR)
        #expect(try MountTable.top(at: below.path) != nil)
        below.end()
        #expect(try MountTable.top(at: below.path) == nil)
    }

    @Test func unsuitableMountpoints() throws {
        let scratch = try ScratchDirectory()
        let file = scratch.path + "/file"
        _ = try OpenFile(file, O_CREAT | O_WRONLY)
        #expect(throws: FUSEError.mountpointMissing(file + "x")) { try MountpointCheck.check(file + "x") }
        #expect(throws: FUSEError.mountpointNotDirectory(file)) { try MountpointCheck.check(file) }
        #expect(throws: FUSEError.mountpointNotEmpty(scratch.path)) { try MountpointCheck.check(scratch.path) }
        #expect(throws: FUSEError.mountpointHoldsBacking(mountpoint: scratch.path, backing: file)) {
            try MountpointCheck.check(scratch.path, backing: [file], hidesFiles: true)
        }
        try MountpointCheck.check(scratch.path, hidesFiles: true)
        #expect(throws: FUSEError.notMounted(scratch.path)) { try Unmounting.unmount(scratch.path) }
    }

    @Test func aClosingFailureReachesWhoUnmounts() throws {
        let notice = try ClosingNotice()
        let descriptor = try LocalSocket.make(blocking: true)
        defer { close(descriptor) }
        try LocalSocket.withAddress(notice.address) { connect(descriptor, $0, $1) }
        notice.tell(failure: "the disk is full")
        var message = [UInt8](repeating: 0, count: 100)
        let count = recv(descriptor, &message, message.count, 0)
        #expect(count > 0 && message[0] == 1)
        #expect(String(decoding: message[1..<max(count, 1)], as: UTF8.self) == "the disk is full")
    }

    final class Echo: ControlHandler {
        func control(
            _ command: UInt32, on node: NodeID, by caller: Caller, _ input: UnsafeRawBufferPointer, outputBytes: Int
        ) throws(VFSError) -> [UInt8] {
            guard command == Self.command else { throw VFSError(.inappropriateIOCTLForDevice) }
            return input.map { $0 &+ 1 }
        }
        /// `_IOWR(0xCB, 1, char[8])`
        static let command: UInt32 = 3 << 30 | 8 << 16 | 0xCB << 8 | 1
    }

    @Test func controlsReachTheirHandler() throws {
        let mounted = try Mounted(MemFS(), control: Echo())
        defer { mounted.end() }
        let root = try OpenFile(mounted.path, O_RDONLY | O_DIRECTORY)
        var bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        #expect(casemate_ioctl(root.descriptor, UInt(Echo.command), &bytes) == 0)
        #expect(bytes == [2, 3, 4, 5, 6, 7, 8, 9])
        #expect(failure(casemate_ioctl(root.descriptor, UInt(Echo.command + 1), &bytes)) == ENOTTY)
    }

    @Test func changesInProcessReachTheKernel() throws {
        let filesystem = MemFS()
        let mounted = try Mounted(filesystem)
        defer { mounted.end() }
        let path = mounted.path + "/file"
        try OpenFile(path, O_CREAT | O_RDWR).write(Array("old".utf8), at: 0)
        #expect(try OpenFile(path, O_RDONLY).read(3, at: 0) == Array("old".utf8))
        #expect(!exists(mounted.path + "/other"))
        let entry = try filesystem.lookup(try Name("file"), in: filesystem.root)
        let made = try filesystem.make(
            NewNode(kind: .regular, permissions: 0o644), named: try Name("other"), in: filesystem.root, by: .root)
        _ = try Array("new".utf8).withUnsafeBytes {
            try filesystem.write(entry.node, .none, at: .offset(0), $0, [])
        }
        mounted.session.observer.changed(entry.node)
        mounted.session.observer.changed(try Name("other"), in: filesystem.root)
        // From another thread: soon, not at once.
        for _ in 0..<200 where !exists(mounted.path + "/other") { usleep(10_000) }
        #expect(exists(mounted.path + "/other"))
        var bytes: [UInt8] = []
        for _ in 0..<200 {
            bytes = try OpenFile(path, O_RDONLY).read(3, at: 0)
            if bytes == Array("new".utf8) { break }
            usleep(10_000)
        }
        #expect(bytes == Array("new".utf8))
        filesystem.forget(entry.node, count: 1)
        filesystem.forget(made.node, count: 1)
    }
}
