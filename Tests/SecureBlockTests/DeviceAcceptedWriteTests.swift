import FailingCalls
import Glibc
import SimHost
import Testing

@testable import SecureBlock

/// Writes that are accepted before their blocks are sealed.
@Suite struct DeviceAcceptedWriteTests {
    private let host = MemoryBlockHost()

    private func device(blocks: UInt64 = 4096, segmentBlocks: Int = 64) throws -> SecureDevice {
        try DeviceTesting.create(host, blocks: blocks, segmentBlocks: segmentBlocks)
        return try DeviceTesting.open(host)
    }

    private func buffer(_ count: Int, _ value: UInt64) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: count * blockBytes)
        for index in 0..<count {
            DeviceTesting.fill(buffer.slice(index * blockBytes, blockBytes), value + UInt64(index))
        }
        return buffer
    }

    /// Within a record, over several, over leaves of the map (512 blocks), more than is reserved at once.
    @Test(arguments: [(0, 1), (10, 63), (300, 256), (500, 24), (511, 514), (100, 3000)] as [(UInt64, Int)])
    func aWriteIsAcceptedOnce(first: UInt64, count: Int) throws {
        let device = try device()
        let bytes = buffer(count, 7)
        var accepted = 0
        try device.write(LogicalBlock(first), UnsafeRawBufferPointer(bytes.bytes)) { accepted += 1 }
        #expect(accepted == 1)
        try device.checkInvariants()
        try device.commit().wait()
        try device.close()
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        for index in 0..<UInt64(count) { #expect(try DeviceTesting.holds(again, first + index, 7 + index)) }
        try again.checkInvariants()
        try again.close()
    }

    /// Who has slots keeps nobody from reading and writing; a commit waits, and has them.
    @Test func othersGoOnAndCommitsWait() throws {
        let device = try device()
        let bytes = buffer(200, 7)
        let isDone = Monitor(false)
        var commit: TestThread.Outcome<SequenceNumber>?
        try device.write(LogicalBlock(400), UnsafeRawBufferPointer(bytes.bytes)) {
            let other = TestThread.Outcome {
                try DeviceTesting.write(device, 3, 4)
                return try DeviceTesting.holds(device, 3, 4)
            }
            #expect((try? other.wait()) == true)
            commit = TestThread.Outcome {
                let ticket = try device.commit()
                isDone.change { $0 = true }
                try ticket.wait()
                return ticket.sequence
            }
            usleep(50_000)
            #expect(!isDone.withLock { $0 }, "a commit went ahead of a write it comes after")
        }
        #expect(try #require(commit).wait() == device.status.commit)
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        #expect(try DeviceTesting.holds(again, 3, 4))
        for index: UInt64 in 0..<200 { #expect(try DeviceTesting.holds(again, 400 + index, 7 + index)) }
        try again.close()
        try device.close()
    }

    /// Overwriting until space is short, and on a full host: what was accepted is written.
    @Test func nothingIsAcceptedAndRefused() throws {
        let device = try device(blocks: 1024, segmentBlocks: 16)
        let bytes = buffer(100, 7)
        var random = SimRandom(seed: 1), refusals = 0
        for _ in 0..<400 {
            var accepted = 0
            let first = random.next() % 924
            do throws(DeviceError) {
                try device.write(LogicalBlock(first), UnsafeRawBufferPointer(bytes.bytes)) { accepted += 1 }
                #expect(accepted == 1)
            } catch {
                refusals += 1
                #expect(accepted == 0, "\(error)")
                try #require(error == .noSpace || error == .commitRequired)
                try device.commit().wait()
            }
        }
        #expect(refusals > 0)
        try device.checkInvariants()
        try device.close()
    }

    /// The crypto library fails after the promise: the device writes no more, waits for nothing, and has none of it.
    @Test(arguments: [0, 1, 70] as [UInt64]) func aFailureLatches(after: UInt64) throws {
        let device = try device()
        try DeviceTesting.write(device, 400, 3)
        try device.commit().wait()
        // Fewer blocks than helpers take part in: failures are of one thread.
        let bytes = buffer(SealingCrew.leastBlocks - 1, 7)
        var accepted = 0
        #expect {
            try device.write(LogicalBlock(400), UnsafeRawBufferPointer(bytes.bytes)) {
                accepted += 1
                casemate_fail_calls(UInt32(CASEMATE_FAILING_CRYPTO), after, 1, 0)
            }
        } throws: {
            if case .latched = $0 as? DeviceError { true } else { false }
        }
        #expect(casemate_end_failing() > after)
        #expect(accepted == 1)
        #expect(throws: DeviceError.self) { try device.commit() }
        #expect(try DeviceTesting.holds(device, 400, 3))
        #expect(throws: DeviceError.self) { try device.close() }
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        #expect(try DeviceTesting.holds(again, 400, 3))
        try again.checkInvariants()
        try again.close()
    }
}
