import Glibc
import SecureBlock
import SimHost
import Synchronization
import Testing
import VFS

@testable import EncFS

/// Writes that are promised before they are done: whoever comes after the promise finds the bytes, or nobody reads or writes
/// any more.
@Suite struct AcceptedWriteTests {
    private let disk: SimBlockDevice
    private let device: FailingDevice
    private let files: EncFS
    private let file: NodeID
    private static let before = pattern(50_000, seed: 1)

    init() throws {
        disk = SimBlockDevice(blocks: 2000)
        // With a tail in the tree, more than the inode would change.
        var format = EncFS.FormatOptions()
        format.packsTails = false
        try EncFS.format(disk, format)
        device = FailingDevice(disk)
        files = try EncFS(mounting: device, .quiet)
        file = try files.make("file")
        try files.write(Self.before, to: file, at: 0)
        try files.sync()
    }

    /// Writes, with `body` at the moment of the promise.
    /// - Returns: what was promised.
    private func write(
        _ bytes: [UInt8], at offset: UInt64, to node: NodeID? = nil, _ flags: WriteFlags = [],
        _ body: () throws -> Void = {}
    ) throws -> [Int] {
        var promised: [Int] = []
        var failure: (any Error)?
        let written = try bytes.withUnsafeBytes { bytes in
            try files.write(node ?? file, .none, at: .offset(offset), bytes, flags) { written in
                promised.append(written.count)
                do { try body() } catch { failure = error }
            }
        }
        if let failure { throw failure }
        #expect(written.count == bytes.count)
        return promised
    }

    @Test(arguments: [(0, 8192), (4096, 5000), (100, 3), (48_000, 5000), (50_000, 1), (200_000, 300_000)])
    func theWholeIsPromisedOnce(offset: Int, count: Int) throws {
        let bytes = pattern(count, seed: 2)
        #expect(try write(bytes, at: UInt64(offset)) == [count])
        #expect(try files.read(file, at: UInt64(offset), count: count) == bytes)
        #expect(try files.attributes(file).size == UInt64(max(50_000, offset + count)))
    }

    /// Where more than the inode changes with the bytes, that could fail after them: nothing is promised.
    @Test func whatChangesMoreIsNotPromised() throws {
        let small = try files.make("small"), twin = try files.make("twin")
        #expect(try write([1, 2, 3], at: 0, to: small) == [])
        #expect(try write(pattern(9000, seed: 3), at: 0, to: small) == [])
        try files.clone(file, 0..<50_000, to: twin, at: 0, [])
        #expect(try write(pattern(4096, seed: 3), at: 0, to: twin) == [])
        var change = AttributeChange()
        change.permissions = 0o4755
        _ = try files.setAttributes(file, change, by: .root)
        #expect(try write(pattern(4096, seed: 4), at: 8192, [.clearsPrivileges]) == [])
        #expect(try files.attributes(file).permissions == 0o755)
        #expect(try write(pattern(4096, seed: 5), at: 8192, [.clearsPrivileges]) == [4096])
    }

    /// A promise is of all bytes: not of the part below the largest size, not of one operation of several.
    @Test func aPartIsNotPromised() throws {
        let bytes = pattern(3 << 20, seed: 6)
        #expect(try write(bytes, at: 4096) == [bytes.count])
        let end = Inode.maximumBytes
        var promised = 0
        let written = try pattern(8192, seed: 7).withUnsafeBytes { bytes in
            try files.write(file, .none, at: .offset(end - 4096), bytes, []) { _ in promised += 1 }
        }
        #expect(written.count == 4096)
        #expect(promised == 0)
    }

    @Test(arguments: [DeviceError.noSpace, .commitRequired, .latched("test")])
    func whatTheDeviceRefusesIsNotPromised(error: DeviceError) throws {
        device.fail(FailingDevice.Way(call: .write, error: error, times: .max), after: 0)
        var promised = 0
        let failure = errno {
            try write(pattern(9000, seed: 2), at: 0) { promised += 1 }
        }
        #expect(failure == .noSpace || failure == .ioError)
        #expect(promised == 0)
    }

    /// Size and times are there at the promise; who reads, or commits, waits for the bytes.
    @Test func whoComesNextWaitsForTheBytes() throws {
        let bytes = pattern(60_000, seed: 2)
        let found = Mutex<[UInt8]>([])
        let old = try files.attributes(file).modificationTime
        var threads: [HostThread] = []
        let promised = try write(bytes, at: 40_000) { [files, file] in
            #expect(try files.attributes(file).size == 100_000)
            #expect(try files.attributes(file).modificationTime > old)
            let read = HostThread {
                do {
                    let bytes = try files.read(file, at: 40_000, count: 60_000)
                    found.withLock { $0 = bytes }
                } catch { Issue.record("\(error)") }
            }
            let commit = HostThread {
                do { try files.sync() } catch { Issue.record("\(error)") }
            }
            threads = [try #require(read), try #require(commit)]
            usleep(50_000)
        }
        #expect(promised == [60_000])
        for thread in threads { thread.join() }
        #expect(found.withLock { $0 } == bytes)
        let again = try EncFS(mounting: disk.crash(), .quiet)
        #expect(try again.read(try again.find("file"), at: 40_000, count: 60_001) == bytes)
    }

    /// The device fails over what was promised: an error for whoever reads it, nothing more is written, and the last commit is
    /// what is left.
    /// - Parameter runs: pieces of the device that are written before the one over which it fails.
    @Test(arguments: [(4096, 8192, 0), (100, 50, 0), (100_000, 60_000, 0), (0, 60_000, 1)] as [(UInt64, Int, Int)])
    func aBrokenPromiseIsAnError(offset: UInt64, count: Int, runs: Int) throws {
        let other = try files.make("other")
        try files.write(Self.before, to: other, at: 0)
        try files.sync()
        device.fail(FailingDevice.Way(call: .fill, error: .latched("test"), times: .max), after: runs)
        var promised = 0
        #expect(errno { try write(pattern(count, seed: 2), at: offset) { promised += 1 } } == .ioError)
        #expect(promised == 1)
        _ = device.endFailing()
        #expect(errno { try files.read(file, at: offset, count: 10) } == .ioError)
        #expect(try files.read(other, count: 50_001) == Self.before)
        #expect(errno { try write([1], at: 0, to: other) } == .readOnlyFileSystem)
        #expect(errno { try files.sync() } != nil)
        #expect(throws: EncFSError.self) { try files.close() }
        // Nobody refers to it any more: an error all the same.
        #expect(errno { try files.read(try files.find("file"), at: offset, count: 10) } == .ioError)
        #expect(try findings(disk.crash()) == [])
        let again = try EncFS(mounting: disk.crash(), .quiet)
        #expect(try again.read(try again.find("file"), count: 50_001) == Self.before)
    }
}
