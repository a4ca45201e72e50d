import Foundation
import Testing

@testable import SecureBlock

@Suite struct HostFileTests {
    static let ways = [
        FileHostOptions(), FileHostOptions(direct: false), FileHostOptions(useRing: false),
        FileHostOptions(direct: false, useRing: false),
    ]

    let scratch: Scratch
    var path: String { scratch.file("volume") }

    init() throws {
        scratch = try Scratch()
    }

    private func pattern(_ byteCount: Int, _ seed: Int) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: byteCount)
        for index in stride(from: 0, to: byteCount, by: 8) {
            buffer.bytes.storeBytes(of: UInt64(seed &* 0x9E37_79B9 &+ index), toByteOffset: index, as: UInt64.self)
        }
        return buffer
    }

    /// Offsets that the kernel has no number for.
    @Test(arguments: [UInt64(Int64.max) + 1, .max]) func offsetsBehindEverything(offset: UInt64) throws {
        let file = try HostFile(path: path, creating: true, FileHostOptions())
        let buffer = pattern(blockBytes, 1)
        #expect(throws: HostError.beyondEnd(offset: offset)) { try file.read(offset, into: buffer.bytes) }
        #expect(throws: HostError.beyondEnd(offset: offset)) {
            try file.write(offset, UnsafeRawBufferPointer(buffer.bytes), durable: true)
        }
        #expect(try file.byteCount() == 0)
    }

    @Test(arguments: ways) func writesAndReadsBack(options: FileHostOptions) throws {
        let host = try FileBlockHost.create(path: path, options)
        defer { host.close() }
        // More writes than the ring is deep, of several sizes, some of them durable by themselves.
        let sizes = [1, 7, 64, 256]
        var buffers: [(UInt64, AlignedBuffer)] = [], writes: [HostWrite] = [], offset: UInt64 = 0
        for index in 0..<150 {
            let buffer = pattern(sizes[index % sizes.count] * blockBytes, index)
            writes.append(
                host.beginWrite(at: offset, UnsafeRawBufferPointer(buffer.bytes), durable: index % 50 == 0))
            buffers.append((offset, buffer))
            offset += UInt64(buffer.bytes.count)
        }
        for write in writes { try write.wait() }
        try host.flush()
        #expect(try host.byteCount() == offset)

        let back = buffers.map { AlignedBuffer(byteCount: $0.1.bytes.count) }
        try host.read(zip(buffers, back).map { HostRead(offset: $0.0, buffer: $1.bytes) })
        for (expected, found) in zip(buffers, back) {
            #expect(expected.1.isSame(as: found))
        }
        let single = AlignedBuffer(byteCount: blockBytes)
        try host.read(at: buffers[1].0, into: single.bytes)
        #expect(single.bytes.elementsEqual(buffers[1].1.bytes.prefix(blockBytes)))
    }

    @Test func transportSaysWhatIsUsed() throws {
        let host = try FileBlockHost.create(path: path, FileHostOptions(direct: false, useRing: false))
        #expect(host.transport == "pread/pwrite, page cache")
        host.close()
        let usual = try FileBlockHost.open(path: path)
        // A sandbox may refuse io_uring or the file system direct transfers; never does something else stand there.
        #expect(
            [
                "io_uring, O_DIRECT, small reads cached", "pread/pwrite, O_DIRECT, small reads cached",
                "io_uring, O_DIRECT", "io_uring, page cache", "pread/pwrite, O_DIRECT", "pread/pwrite, page cache",
            ].contains(usual.transport))
        #expect(usual.cachesReads == usual.transport.hasSuffix(", small reads cached"))
        usual.close()
        let direct = try FileBlockHost.open(path: path, FileHostOptions(cachesReads: false))
        #expect(!direct.cachesReads)
        direct.close()
    }

    /// tmpfs: direct transfers were refused there until Linux 6.6 and work since; both must end well.
    @Test(.enabled(if: FileManager.default.isWritableFile(atPath: "/dev/shm"))) func worksOnTmpfs() throws {
        let memory = try Scratch(in: "/dev/shm")
        let host = try FileBlockHost.create(path: memory.file("volume"))
        defer { host.close() }
        let buffer = pattern(16 * blockBytes, 1), back = AlignedBuffer(byteCount: 16 * blockBytes)
        try host.allocate(offset: 0, byteCount: 1 << 20)
        try host.beginWrite(at: 4096, UnsafeRawBufferPointer(buffer.bytes), durable: true).wait()
        try host.read(at: 4096, into: back.bytes)
        #expect(back.isSame(as: buffer))
    }

    @Test func oneWriterOrManyReaders() throws {
        let writer = try FileBlockHost.create(path: path)
        #expect(throws: HostError.inUse) { try FileBlockHost.open(path: path) }
        #expect(throws: HostError.inUse) { try FileBlockHost.open(path: path, FileHostOptions(readOnly: true)) }
        // Another process sees the lock too.
        let other = try run("/usr/bin/flock", "--nonblock", path, "/bin/true")
        #expect(other.status == 1)
        writer.close()
        let readers = try (0..<2).map { _ in try FileBlockHost.open(path: path, FileHostOptions(readOnly: true)) }
        #expect(throws: HostError.inUse) { try FileBlockHost.open(path: path) }
        for reader in readers { reader.close() }
        try FileBlockHost.open(path: path).close()
    }

    @Test func aDroppedHostReleasesItsLock() throws {
        do { _ = try FileBlockHost.create(path: path) }
        try FileBlockHost.open(path: path).close()
    }

    @Test func whatCannotBeOpened() throws {
        let missing = scratch.file("missing"), fifo = scratch.file("fifo")
        #expect(throws: HostError.unopenable(path: missing, errno: ENOENT)) {
            try FileBlockHost.open(path: missing)
        }
        #expect(throws: HostError.unopenable(path: scratch.path, errno: EISDIR)) {
            try FileBlockHost.open(path: scratch.path)
        }
        #expect(mkfifo(fifo, 0o600) == 0)
        #expect(throws: HostError.unsuitable(path: fifo)) { try FileBlockHost.open(path: fifo) }
        #expect(throws: HostError.unsuitable(path: "/dev/null")) { try FileBlockHost.open(path: "/dev/null") }
        let nowhere = scratch.file("no/where")
        #expect(throws: HostError.unopenable(path: nowhere, errno: ENOENT)) {
            try FileBlockHost.create(path: nowhere)
        }
    }

    @Test func createdFilesArePrivateAndOldOnesUntouched() throws {
        try FileBlockHost.create(path: path).close()
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600 && status.st_size == 0)
        try Data("precious".utf8).write(to: URL(fileURLWithPath: path))
        let host = try FileBlockHost.create(path: path)
        #expect(try host.byteCount() == 8)
        host.close()
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("precious".utf8))
    }

    @Test(arguments: ways) func aShrunkFileIsTold(options: FileHostOptions) throws {
        let host = try FileBlockHost.create(path: path, options)
        defer { host.close() }
        let buffer = pattern(8 * blockBytes, 3)
        try host.write(at: 0, UnsafeRawBufferPointer(buffer.bytes))
        #expect(truncate(path, off_t(2 * blockBytes)) == 0)
        let back = AlignedBuffer(byteCount: 4 * blockBytes), other = AlignedBuffer(byteCount: blockBytes)
        #expect(throws: HostError.beyondEnd(offset: UInt64(2 * blockBytes))) {
            try host.read(at: 0, into: back.bytes)
        }
        #expect(throws: HostError.beyondEnd(offset: UInt64(3 * blockBytes))) {
            try host.read([
                HostRead(offset: 0, buffer: other.bytes),
                HostRead(offset: UInt64(3 * blockBytes), buffer: other.bytes),
            ])
        }
        #expect(throws: HostError.beyondEnd(offset: .max)) { try host.read(at: .max, into: other.bytes) }
        #expect(throws: HostError.beyondEnd(offset: 1 << 63)) {
            try host.write(at: 1 << 63, UnsafeRawBufferPointer(other.bytes))
        }
    }

    @Test func allocatingKeepsWhatIsStored() throws {
        let host = try FileBlockHost.create(path: path)
        defer { host.close() }
        let buffer = pattern(4 * blockBytes, 5), back = AlignedBuffer(byteCount: 4 * blockBytes)
        try host.write(at: UInt64(blockBytes), UnsafeRawBufferPointer(buffer.bytes))
        try host.allocate(offset: 0, byteCount: 4 << 20)
        #expect(try host.byteCount() == 4 << 20)
        try host.read(at: UInt64(blockBytes), into: back.bytes)
        #expect(back.isSame(as: buffer))
        try host.punch(offset: UInt64(blockBytes), byteCount: UInt64(4 * blockBytes))
        #expect(try host.byteCount() == 4 << 20)
        #expect(throws: HostError.beyondEnd(offset: .max)) { try host.allocate(offset: .max, byteCount: 1) }
    }

    @Test func spaceIsFilledWhereCommitsAreFrequent() {
        let tempo = CommitTempo()
        #expect(tempo.takeIsFrequent() == nil, "nothing known yet")
        tempo.note(bytes: 8192, isCommit: true)
        #expect(tempo.takeIsFrequent() == true)
        #expect(tempo.takeIsFrequent() == nil, "nothing since")
        tempo.note(bytes: 64 << 20, isCommit: false)
        #expect(tempo.takeIsFrequent() == false)
        tempo.note(bytes: 64 << 20, isCommit: false)
        tempo.note(bytes: 0, isCommit: true)
        #expect(tempo.takeIsFrequent() == false)
    }

    @Test func readersDoNotWrite() throws {
        try FileBlockHost.create(path: path).close()
        let host = try FileBlockHost.open(path: path, FileHostOptions(readOnly: true))
        defer { host.close() }
        let buffer = AlignedBuffer(byteCount: blockBytes)
        #expect(throws: HostError.failed(call: "pwrite", errno: EBADF, offset: 0)) {
            try host.write(at: 0, UnsafeRawBufferPointer(buffer.bytes))
        }
    }

    @Test(arguments: ways) func closingWaitsForWritesAndRefusesMore(options: FileHostOptions) throws {
        let host = try FileBlockHost.create(path: path, options)
        let buffer = pattern(1 << 20, 9)
        let writes = (0..<40).map {
            host.beginWrite(at: UInt64($0) << 20, UnsafeRawBufferPointer(buffer.bytes), durable: false)
        }
        host.close()
        host.close()
        let allComplete = writes.allSatisfy(\.isComplete)
        #expect(allComplete)
        for write in writes { try write.wait() }
        #expect(throws: HostError.closed) { try host.flush() }
        #expect(throws: HostError.closed) { try host.write(at: 0, UnsafeRawBufferPointer(buffer.bytes)) }
        #expect(throws: HostError.closed) { try host.byteCount() }
    }

    /// The kernel may cancel what a thread that ends has not got done; the bytes arrive all the same.
    @Test(arguments: ways) func writesOutliveTheThreadThatBeganThem(options: FileHostOptions) throws {
        let host = try FileBlockHost.create(path: path, options)
        defer { host.close() }
        let buffer = pattern(1 << 20, 11), back = AlignedBuffer(byteCount: 1 << 20)
        for round in 0..<20 {
            let begun = Monitor<[HostWrite]>([])
            TestThread.start {
                for index in 0..<8 {
                    let bytes = UnsafeRawBufferPointer(buffer.bytes)
                    let write = host.beginWrite(at: UInt64(index) << 20, bytes, durable: round % 2 == 0)
                    begun.change { $0.append(write) }
                }
            }
            for write in begun.changeWhen({ $0.count == 8 }, { $0 }) { try write.wait() }
        }
        for index in 0..<8 {
            try host.read(at: UInt64(index) << 20, into: back.bytes)
            #expect(back.isSame(as: buffer))
        }
    }

    @Test(arguments: ways) func manyThreadsAtOnce(options: FileHostOptions) async throws {
        let host = try FileBlockHost.create(path: path, options)
        defer { host.close() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    let base = UInt64(task) << 20
                    for round in 0..<20 {
                        let buffers = (0..<8).map { pattern(blockBytes, task * 1000 + round * 8 + $0) }
                        let writes = buffers.enumerated().map { index, buffer in
                            host.beginWrite(
                                at: base + UInt64(index * blockBytes), UnsafeRawBufferPointer(buffer.bytes),
                                durable: false)
                        }
                        for write in writes { try write.wait() }
                        let back = buffers.map { _ in AlignedBuffer(byteCount: blockBytes) }
                        try host.read(
                            back.enumerated().map {
                                HostRead(offset: base + UInt64($0 * blockBytes), buffer: $1.bytes)
                            })
                        for (expected, found) in zip(buffers, back) {
                            let isSame = expected.isSame(as: found)
                            #expect(isSame)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test(.enabled(if: geteuid() == 0), arguments: ways) func aFullHostIsNoSpace(options: FileHostOptions) throws {
        let mounted = try run("/bin/mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", scratch.path)
        try #require(mounted.status == 0)
        defer { _ = try? run("/bin/umount", scratch.path) }
        let host = try FileBlockHost.create(path: path, options)
        defer { host.close() }
        let buffer = pattern(2 << 20, 13)
        #expect(throws: HostError.noSpace) { try host.write(at: 0, UnsafeRawBufferPointer(buffer.bytes)) }
        #expect(throws: HostError.noSpace) { try host.allocate(offset: 0, byteCount: 2 << 20) }
    }

    @Test(.enabled(if: geteuid() == 0 && FileManager.default.fileExists(atPath: "/dev/loop-control")))
    func blockDevices() throws {
        try FileBlockHost.create(path: path).close()
        #expect(truncate(path, 4 << 20) == 0)
        let attached = try run("/sbin/losetup", "--find", "--show", path)
        let device = attached.output.trimmingCharacters(in: .whitespacesAndNewlines)
        try #require(attached.status == 0 && device.hasPrefix("/dev/loop"))
        defer { _ = try? run("/sbin/losetup", "--detach", device) }
        let host = try FileBlockHost.create(path: device)
        #expect(host.isDevice)
        #expect(try host.byteCount() == 4 << 20)
        #expect(throws: HostError.inUse) { try FileBlockHost.open(path: device) }
        let buffer = pattern(4 * blockBytes, 15), back = AlignedBuffer(byteCount: 4 * blockBytes)
        try host.allocate(offset: 0, byteCount: 4 << 20)
        #expect(throws: HostError.beyondEnd(offset: 0)) { try host.allocate(offset: 0, byteCount: 5 << 20) }
        try host.beginWrite(at: 8192, UnsafeRawBufferPointer(buffer.bytes), durable: true).wait()
        try host.flush()
        try host.read(at: 8192, into: back.bytes)
        #expect(back.isSame(as: buffer))
        let end = UInt64(4 << 20)
        #expect(throws: HostError.beyondEnd(offset: end)) {
            try host.write(at: end, UnsafeRawBufferPointer(buffer.bytes))
        }
        #expect(throws: HostError.beyondEnd(offset: end)) { try host.read(at: end, into: back.bytes) }
        host.close()
    }

    /// No buffer, no call; and no offset that a file cannot have.
    @Test func nothingIsTransferredForNothing() throws {
        let host = try FileBlockHost.create(path: path, FileHostOptions(useRing: false))
        defer { host.close() }
        try host.read([HostRead(offset: 1 << 40, buffer: UnsafeMutableRawBufferPointer(start: nil, count: 0))])
        try host.beginWrite(at: 1 << 40, UnsafeRawBufferPointer(start: nil, count: 0), durable: true).wait()
        try host.punch(offset: 0, byteCount: 0)
        #expect(try host.byteCount() == 0)
        let block = AlignedBuffer(byteCount: blockBytes)
        for offset in [UInt64.max - 4095, 1 << 63] {
            #expect(throws: HostError.beyondEnd(offset: offset)) { try host.read(at: offset, into: block.bytes) }
        }
    }

    /// A host that is lent passes everything on, and closing it closes nothing.
    @Test func aLentHostStaysOpen() throws {
        let owner = try FileBlockHost.create(path: path)
        defer { owner.close() }
        let lent = LentHost(owner)
        #expect(lent.transport == owner.transport)
        let source = pattern(4 * blockBytes, 3), back = AlignedBuffer(byteCount: 4 * blockBytes)
        try lent.allocate(offset: 0, byteCount: UInt64(8 * blockBytes))
        try lent.write(at: 0, UnsafeRawBufferPointer(source.bytes))
        try lent.punch(offset: 0, byteCount: UInt64(blockBytes))
        try lent.cut(to: UInt64(4 * blockBytes))
        try lent.flush()
        lent.close()
        #expect(try owner.byteCount() == UInt64(4 * blockBytes) && lent.byteCount() == owner.byteCount())
        var parts: [Int] = []
        try lent.read([HostRead(offset: 0, buffer: back.bytes)]) { parts.append($0) }
        #expect(parts == [0])
        #expect(back.slice(0, blockBytes).allSatisfy { $0 == 0 })
        #expect(
            back.slice(blockBytes, 3 * blockBytes).elementsEqual(source.slice(blockBytes, 3 * blockBytes)))
    }

    /// Whoever closes a file gives its lock back, even if something else still holds the open file: a forked process, say.
    @Test func aClosedFileIsNotLocked() throws {
        let file = try HostFile(path: path, creating: true, FileHostOptions())
        let other = dup(file.descriptor)
        defer { close(other) }
        #expect(throws: HostError.inUse) { try HostFile(path: path, creating: false, FileHostOptions()) }
        file.close()
        try HostFile(path: path, creating: false, FileHostOptions()).close()
    }
}
