import SimHost
import Testing

@testable import SecureBlock

/// Host calls that fail: typed errors, reads that go on, and never a success that was none.
@Suite struct DeviceLatchTests {
    private static let ioError = HostError.failed(call: "write", errno: 5, offset: nil)

    private func opened(_ host: CrashHost, anchor: (any Anchor)? = nil) throws -> SecureDevice {
        try DeviceTesting.create(host, blocks: 64, anchor: anchor)
        let device = try DeviceTesting.open(host, anchor: anchor)
        try DeviceTesting.write(device, 1, 11)
        try device.commit().wait()
        return device
    }

    /// What the volume holds after the device was given up: block 1 as committed, block 2 if its commit came through.
    private func reopen(_ host: CrashHost, anchor: AnchorValue? = nil, second: [UInt64]) throws {
        host.clearFaults()
        let device = try DeviceTesting.open(
            MemoryBlockHost(contents: host.contents), anchor: anchor.map { MemoryAnchor($0) })
        #expect(try DeviceTesting.holds(device, 1, 11))
        #expect(try second.contains { try DeviceTesting.holds(device, 2, $0) })
        try device.close()
    }

    @Test func aWriteThatFailsForGoodLatches() throws {
        let host = CrashHost()
        let device = try opened(host)
        try DeviceTesting.write(device, 2, 22)
        host.fail(.write, times: 100, with: Self.ioError)
        let ticket = try device.commit()
        #expect(throws: DeviceError.self) { try ticket.wait() }
        #expect(device.status.latch != nil)
        // Reads go on, what was never written included: its buffer is kept.
        #expect(try DeviceTesting.holds(device, 1, 11) && DeviceTesting.holds(device, 2, 22))
        #expect(throws: DeviceError.self) { try DeviceTesting.write(device, 3, 33) }
        #expect(throws: DeviceError.self) { try device.commit() }
        #expect(throws: DeviceError.self) { try device.close() }
        try reopen(host, second: [0])
    }

    @Test func aWriteThatFailsOnceIsTriedAgain() throws {
        let host = CrashHost()
        let device = try opened(host)
        try DeviceTesting.write(device, 2, 22)
        host.fail(.write, with: Self.ioError)
        try device.commit().wait()
        #expect(device.status.latch == nil)
        try device.close()
        try reopen(host, second: [22])
    }

    /// A failed flush may have dropped what it was to save; a second one that succeeds proves nothing. No retry.
    @Test func aFailedFlushLatchesAtOnce() throws {
        let host = CrashHost()
        let device = try opened(host)
        // Two commits under way, so that the second needs a flush.
        try DeviceTesting.write(device, 2, 22)
        _ = try device.commit()
        try DeviceTesting.write(device, 2, 23)
        let ticket = try device.commit()
        host.fail(.flush, with: .failed(call: "fdatasync", errno: 5, offset: nil))
        #expect(throws: DeviceError.self) { try ticket.wait() }
        #expect(throws: DeviceError.self) { try ticket.wait() }
        #expect(device.status.latch != nil)
        try reopen(host, second: [0, 22, 23])
    }

    @Test func anAnchorThatDoesNotConfirmLatches() throws {
        let host = CrashHost(), anchor = SimAnchor(host)
        let device = try opened(host, anchor: anchor)
        try DeviceTesting.write(device, 2, 22)
        anchor.fail(with: .unavailable("gone"))
        let ticket = try device.commit()
        #expect(throws: DeviceError.self) { try ticket.wait() }
        // The commit was durable and not acknowledged: either state is a right one.
        try reopen(host, anchor: try anchor.load(), second: [0, 22])
    }

    /// The host has no room for another segment: `noSpace` before anything is sealed, and commits go on.
    @Test func aFullHostIsNoSpace() throws {
        let host = CrashHost()
        let device = try opened(host)
        host.fail(.allocate, times: 1000, with: .noSpace)
        var written: UInt64 = 0
        var failure: DeviceError?
        while failure == nil, written < 5000 {
            do { try DeviceTesting.write(device, 2 + written % 60, written + 100) } catch let error as DeviceError {
                failure = error
            }
            written += 1
        }
        #expect(failure == .noSpace || failure == .commitRequired)
        #expect(device.status.latch == nil)
        #expect(try DeviceTesting.holds(device, 1, 11))
        // Committing, over and over, and what was overwritten meanwhile is used again: all without more of the host.
        for round: UInt64 in 0..<300 {
            do { try DeviceTesting.write(device, 2 + round % 60, round + 9000) } catch let error as DeviceError {
                #expect(error == .noSpace || error == .commitRequired)
            }
            try device.commit().wait()
        }
        #expect(device.status.latch == nil)
        try device.checkInvariants()
        try device.close()
        host.clearFaults()
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        #expect(try DeviceTesting.holds(again, 1, 11))
        try again.close()
    }

    /// A host that was full and has room again is noticed by asking, not by reopening.
    @Test(arguments: [false, true])
    func roomMadeOnTheHostIsNoticed(background: Bool) throws {
        let host = CrashHost()
        try DeviceTesting.create(host, blocks: 64)
        let device = try DeviceTesting.open(host, background: background)
        host.fail(.allocate, times: .max, with: .noSpace)
        var isRefused = false
        for step: UInt64 in 0..<2000 where !isRefused {
            do { try DeviceTesting.write(device, step % 64, step + 1) } catch let error as DeviceError {
                #expect(error == .noSpace || error == .commitRequired)
                isRefused = device.monitor.locked { device.log.hostIsFull }
                try device.commit().wait()
            }
        }
        #expect(isRefused)
        host.clearFaults()
        for step: UInt64 in 0..<200 {
            do { try DeviceTesting.write(device, step % 64, step + 1) } catch let error as DeviceError {
                // Overwritten blocks that no commit covers are the only thing left to be short of.
                #expect(error == .commitRequired)
                try device.commit().wait()
                try DeviceTesting.write(device, step % 64, step + 1)
            }
        }
        #expect(!device.monitor.locked { device.log.hostIsFull })
        try device.commit().wait()
        try device.checkInvariants()
        try device.close()
    }

    /// A way for one host call to fail.
    struct Way: Sendable, CustomTestStringConvertible {
        var call: SimCall
        var error = ioError
        /// So many calls of the kind in a row.
        var times = 1
        var testDescription: String { "\(call) \(times) times: \(error)" }
    }
    static let ways = [
        Way(call: .read), Way(call: .read, times: 3), Way(call: .write), Way(call: .write, times: 3),
        Way(call: .write, error: .noSpace), Way(call: .write, error: .noSpace, times: 3), Way(call: .flush),
        Way(call: .flush, error: .noSpace), Way(call: .allocate), Way(call: .allocate, error: .noSpace),
        Way(call: .allocate, error: .noSpace, times: 5),
    ]

    /// Every host call of a workload fails, one after the other, from opening to closing: an error or success, and what
    /// reopens is a committed state, none older than the last that was acknowledged.
    @Test(arguments: ways)
    func everyCallFailsOnce(_ way: Way) throws {
        var failures = 0, number = 0
        while number < 2000 {
            let host = CrashHost()
            try DeviceTesting.create(host, blocks: 40)
            host.fail(way.call, after: number, times: way.times, with: way.error)
            var states = [[UInt64](repeating: 0, count: 40)]
            var acknowledged = 0
            do { try Self.work(on: host, &states, &acknowledged) } catch is DeviceError {
                failures += 1
            } catch is VolumeError { failures += 1 }
            let isOver = host.failuresLeft == way.times
            host.clearFaults()
            let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
            let found = try DeviceTesting.contents(again)
            let index = try #require(
                states.lastIndex { DeviceTesting.contents(of: $0) == found },
                "\(way) \(number): a state that was never committed")
            #expect(index >= acknowledged, "\(way) \(number): an acknowledged commit is gone")
            try again.checkInvariants()
            try again.close()
            if isOver { break }
            number += 1
        }
        #expect(number > 2 && number < 2000)
        // A write is tried again, and so is space for the next segment.
        #expect(failures > 0 || way.call == .write || way.call == .allocate)
    }

    /// Opens, writes, discards, commits, reads and closes; what was committed goes to `states`.
    private static func work(on host: CrashHost, _ states: inout [[UInt64]], _ acknowledged: inout Int) throws {
        let device = try DeviceTesting.open(host, checkpointInterval: 16 * blockBytes)
        var model = states[0]
        for step: UInt64 in 1...120 {
            let block = Int(step * 7 % 40)
            do {
                if step % 11 == 0 {
                    try device.discard(LogicalBlock(UInt64(block)), count: 1)
                    model[block] = 0
                } else {
                    try DeviceTesting.write(device, UInt64(block), step)
                    model[block] = step
                }
            } catch let error as DeviceError {
                guard DeviceTesting.isShortOfSpace(error) else { throw error }
            }
            if step % 9 == 0 {
                let value = model[Int(step % 40)]
                #expect(try DeviceTesting.holds(device, step % 40, value))
            }
            guard step % 5 == 0 else { continue }
            let ticket = try device.commit()
            states.append(model)
            try ticket.wait()
            acknowledged = states.count - 1
        }
        try device.close()
    }
}
