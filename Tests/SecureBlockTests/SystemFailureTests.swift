import FailingCalls
import Glibc
import Testing

@testable import SecureBlock

/// System calls that fail, one after the other, under a file and under an anchor in one: the right bytes or a typed
/// error, and what only asks to be made again is made again.
@Suite struct SystemFailureTests {
    struct Way: Sendable, CustomTestStringConvertible {
        var kinds: Int
        var error: Int32
        var times = 1
        /// Whether the work has to succeed all the same.
        var isBearable = false
        var testDescription: String { "kinds \(kinds), error \(error), \(times) times" }
    }

    private static let all =
        CASEMATE_FAILING_TRANSFER | CASEMATE_FAILING_FLUSH | CASEMATE_FAILING_FILE
    static let ways = [
        Way(kinds: all, error: EIO), Way(kinds: all, error: EIO, times: .max), Way(kinds: all, error: ENOSPC),
        Way(kinds: CASEMATE_FAILING_TRANSFER, error: EINTR, times: 3, isBearable: true),
        Way(kinds: CASEMATE_FAILING_TRANSFER, error: EAGAIN, times: 2, isBearable: true),
        Way(kinds: CASEMATE_FAILING_TRANSFER, error: Int32(CASEMATE_SHORT_TRANSFER), isBearable: true),
        Way(kinds: CASEMATE_FAILING_FLUSH, error: EINTR, times: 3, isBearable: true),
        Way(kinds: CASEMATE_FAILING_FILE, error: EINTR, times: 1),
        Way(kinds: CASEMATE_FAILING_FILE, error: EOPNOTSUPP, times: .max),
        Way(kinds: CASEMATE_FAILING_FILE, error: EOPNOTSUPP),
        Way(kinds: CASEMATE_FAILING_RING, error: EINVAL, times: .max, isBearable: true),
        Way(kinds: CASEMATE_FAILING_RING, error: EAGAIN, times: 2, isBearable: true),
        Way(kinds: CASEMATE_FAILING_RING, error: EBUSY, times: 1, isBearable: true),
        Way(kinds: CASEMATE_FAILING_RING, error: EINTR, times: 2, isBearable: true),
        Way(kinds: CASEMATE_FAILING_REQUEST, error: EBADF),
        Way(kinds: CASEMATE_FAILING_REQUEST, error: EBADF, times: .max),
        Way(kinds: CASEMATE_FAILING_REQUEST, error: Int32(CASEMATE_SHORT_TRANSFER), isBearable: true),
        Way(kinds: CASEMATE_FAILING_REQUEST, error: Int32(CASEMATE_SHORT_TRANSFER), times: .max, isBearable: true),
        Way(kinds: CASEMATE_FAILING_COMPLETION, error: EINTR, times: 3, isBearable: true),
        Way(kinds: CASEMATE_FAILING_PROBE, error: EOPNOTSUPP, times: .max, isBearable: true),
    ]

    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    /// Runs `work` with every call failing, on a new file each time.
    /// - Returns: what was thrown.
    private func everyFailure(
        _ way: Way, _ work: (String) throws -> Void, afterwards: (String) throws -> Void
    ) throws -> [any Error] {
        var errors: [any Error] = []
        var number: UInt64 = 0
        var isReached = true
        while isReached {
            let path = scratch.file("\(number)")
            casemate_fail_calls(UInt32(way.kinds), number, UInt64(way.times), way.error)
            var failure: (any Error)?
            do { try work(path) } catch { failure = error }
            isReached = casemate_end_failing() > number
            let message = "\(way.testDescription), call \(number): \(failure.map { "\($0)" } ?? "no error")"
            #expect(failure == nil || isReached && !way.isBearable, "\(message)")
            if let failure { errors.append(failure) }
            do { try afterwards(path) } catch { Issue.record("\(message); then \(error)") }
            unlink(path)
            number += 1
        }
        return errors
    }

    // MARK: files

    private static func pattern(_ blocks: Int, _ seed: UInt64) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: blocks * blockBytes)
        DeviceTesting.fill(buffer.bytes, seed)
        return buffer
    }

    private static func workOnFile(_ path: String, _ options: FileHostOptions) throws {
        let host = try FileBlockHost.create(path: path, options)
        defer { host.close() }
        try host.allocate(offset: 0, byteCount: UInt64(32 * blockBytes))
        let sources = (0..<4).map { pattern(8, UInt64($0) + 1) }
        let writes = sources.enumerated().map { index, source in
            host.beginWrite(
                at: UInt64(index * 8 * blockBytes), UnsafeRawBufferPointer(source.bytes), durable: index % 3 == 1)
        }
        // All of them are waited for, whatever one of them says: the buffers are lent until then.
        var failure: HostError?
        for write in writes {
            do throws(HostError) { try write.wait() } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
        try host.flush()
        try expect(host, sources)
        try host.cut(to: UInt64(24 * blockBytes))
        #expect(try host.byteCount() == UInt64(24 * blockBytes))
        try host.cut(to: UInt64(30 * blockBytes))
        try host.punch(offset: 0, byteCount: UInt64(8 * blockBytes))
        try expect(host, Array(sources[1..<3]), from: 8)
    }

    private static func expect(_ host: FileBlockHost, _ sources: [AlignedBuffer], from block: Int = 0) throws {
        let back = sources.map { AlignedBuffer(byteCount: $0.bytes.count) }
        try host.read(
            back.enumerated().map { index, buffer in
                HostRead(offset: UInt64((block + index * 8) * blockBytes), buffer: buffer.bytes)
            })
        for (source, found) in zip(sources, back) { #expect(found.isSame(as: source)) }
        let single = AlignedBuffer(byteCount: sources[0].bytes.count)
        try host.read(at: UInt64(block * blockBytes), into: single.bytes)
        #expect(single.isSame(as: sources[0]))
    }

    @Test(arguments: ways, [true, false]) func everyCallUnderAFile(_ way: Way, useRing: Bool) throws {
        let options = FileHostOptions(useRing: useRing)
        let errors = try everyFailure(way) { path in
            try Self.workOnFile(path, options)
        } afterwards: { path in
            // Nothing is left open, and so nothing locked.
            if access(path, F_OK) == 0 { try FileBlockHost.open(path: path, options).close() }
        }
        #expect(errors.allSatisfy { $0 is HostError })
        if way.error == ENOSPC { #expect(errors.contains { $0 as? HostError == .noSpace }) }
        if way.error == EIO { #expect(errors.count > 8) }
        if way.error == EBADF {
            let host = try FileBlockHost.create(path: scratch.file("last"), options)
            #expect((errors.count > 4) == host.transport.hasPrefix("io_uring"), "\(errors)")
            host.close()
        }
    }

    /// A file system that takes the flag for direct transfers and refuses the transfers: the page cache is used.
    @Test func refusedDirectTransfersGoThroughThePageCache() throws {
        casemate_fail_calls(UInt32(CASEMATE_FAILING_TRANSFER), 0, 1, EINVAL)
        let host = try FileBlockHost.create(path: scratch.file("cached"))
        _ = casemate_end_failing()
        #expect(host.transport.hasSuffix("page cache"))
        let source = Self.pattern(8, 1)
        try host.write(at: 0, UnsafeRawBufferPointer(source.bytes))
        try Self.expect(host, [source])
        host.close()
    }

    /// Without io_uring everything is as with it, and the transport says so.
    @Test func refusedRingsAreDoneWithout() throws {
        casemate_fail_calls(UInt32(CASEMATE_FAILING_RING), 0, .max, EPERM)
        defer { _ = casemate_end_failing() }
        let host = try FileBlockHost.create(path: scratch.file("threads"))
        #expect(host.transport.hasPrefix("pread/pwrite"))
        host.close()
    }

    // MARK: anchors

    private static func value(_ sequence: UInt64) -> AnchorValue {
        let volume = [UInt8](repeating: 3, count: 16).withUnsafeBytes { VolumeIdentifier(loading: $0) }
        return AnchorValue(volume: volume, sequence: SequenceNumber(sequence), tag: Tag(low: sequence, high: 1))
    }

    @Test(arguments: ways.filter { $0.kinds < CASEMATE_FAILING_RING && $0.error != EAGAIN })
    func everyCallUnderAnAnchor(_ way: Way) throws {
        // A record is written at once or not at all, so that part of one is an error here.
        var way = way
        if way.error == Int32(CASEMATE_SHORT_TRANSFER) { way.isBearable = false }
        let values: [AnchorValue?] = [nil, Self.value(1), Self.value(2), Self.value(3)]
        var promised = 0
        let errors = try everyFailure(way) { path in
            promised = 0
            let anchor = FileAnchor(path: path)
            for next in 1...3 {
                try anchor.compareAndSwap(expected: values[next - 1], new: values[next]!)
                promised = next
                #expect(try anchor.load() == values[next])
            }
        } afterwards: { path in
            let found = try FileAnchor(path: path).load()
            #expect(found == values[promised] || found == values[min(promised + 1, 3)])
        }
        #expect(errors.allSatisfy { if case AnchorError.unavailable = $0 { true } else { false } }, "\(errors)")
        if way.error == EIO { #expect(errors.count > 8) }
    }

    // MARK: memory and threads

    private func without<Result>(_ kind: Int, _ body: () throws -> Result) rethrows -> Result {
        casemate_fail_calls(UInt32(kind), 0, .max, EAGAIN)
        defer { _ = casemate_end_failing() }
        return try body()
    }

    /// Where the system maps no memory in one piece, ordinary memory does.
    @Test(.enabled(if: casemate_resources_can_fail() != 0)) func buffersWithoutMappings() {
        let buffers = without(CASEMATE_FAILING_MAPPING) {
            var shelf = LargeBufferShelf()
            return [shelf.buffer(byteCount: 1 << 20), shelf.buffer(byteCount: 1 << 20), LargeBufferPool().take()]
        }
        #expect(buffers.map(\.bytes.count) == [1 << 20, 1 << 20, LargePages.byteCount])
        #expect(buffers.allSatisfy { $0.bytes.allSatisfy { $0 == 0 } })
        for (index, buffer) in buffers.enumerated() { DeviceTesting.fill(buffer.bytes, UInt64(index + 1)) }
        #expect(!buffers[0].isSame(as: buffers[1]))
    }

    /// Without a thread to write by a file is refused, and nothing of it stays open.
    @Test(.enabled(if: casemate_resources_can_fail() != 0)) func filesWithoutThreads() throws {
        let path = scratch.file("threadless"), options = FileHostOptions(useRing: false)
        #expect(throws: HostError.failed(call: "pthread_create", errno: EAGAIN, offset: nil)) {
            try without(CASEMATE_FAILING_THREAD) { _ = try FileBlockHost.create(path: path, options) }
        }
        try FileBlockHost.open(path: path, options).close()
    }

    /// A device that gets no thread for its maintenance does not open; one that gets none to read ahead reads without.
    @Test(.enabled(if: casemate_resources_can_fail() != 0)) func devicesWithoutThreads() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 400)
        let refused = HostError.failed(call: "pthread_create", errno: EAGAIN, offset: nil)
        #expect(throws: VolumeError.host(refused)) {
            try without(CASEMATE_FAILING_THREAD) { _ = try DeviceTesting.open(host, background: true) }
        }
        let device = try DeviceTesting.open(host, background: true)
        for block in 0..<UInt64(400) { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        let row = AlignedBuffer(byteCount: 40 * blockBytes), expected = AlignedBuffer(byteCount: blockBytes)
        try without(CASEMATE_FAILING_THREAD) {
            for first in stride(from: UInt64(0), to: 400, by: 40) {
                try device.read(LogicalBlock(first), into: row.bytes)
                for index in 0..<40 {
                    DeviceTesting.fill(expected.bytes, first + UInt64(index) + 1)
                    #expect(row.slice(index * blockBytes, blockBytes).elementsEqual(expected.bytes))
                }
            }
        }
        try device.close()
    }

    @Test func aSecretWithoutMemoryIsRefused() {
        #expect(throws: SealError.memory(errno: ENOMEM)) { try SecretBytes(byteCount: .max - 8191) { _ in } }
    }
}
