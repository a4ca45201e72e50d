import Glibc
import Synchronization
import Testing

@testable import SecureBlock

@Suite struct AnchorPolicyTests {
    private let host = MemoryBlockHost()
    private let anchor = MemoryAnchor()

    private func commit(_ device: SecureDevice, _ value: UInt64) throws -> SequenceNumber {
        try DeviceTesting.write(device, value % 40, value)
        let ticket = try device.commit()
        try ticket.wait()
        return ticket.sequence
    }

    @Test func everyCommitIsNamedAtOnce() throws {
        try DeviceTesting.create(host, blocks: 40, anchor: anchor)
        let device = try DeviceTesting.open(host, anchor: anchor)
        for value: UInt64 in 1...5 { #expect(try commit(device, value) == anchor.load()?.sequence) }
        #expect(device.status.exposedCommits == 0 && device.status.exposedMilliseconds == 0)
        try device.close()
    }

    /// Never more than so many acknowledged commits are exposed, and closing leaves none.
    @Test func commitsAreBounded() throws {
        try DeviceTesting.create(host, blocks: 40, anchor: anchor)
        let device = try DeviceTesting.open(host, anchor: anchor, anchorPolicy: AnchorPolicy(commits: 3))
        var exposed: [Int] = []
        for value: UInt64 in 1...8 {
            _ = try commit(device, value)
            exposed.append(device.status.exposedCommits)
        }
        #expect(exposed == [1, 2, 3, 0, 1, 2, 3, 0])
        _ = try commit(device, 9)
        #expect(try anchor.load()?.sequence != device.status.commit)
        try device.close()
        #expect(try anchor.load()?.sequence == device.status.commit)
        // The policy was stored with the checkpoint.
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents), anchor: anchor)
        #expect(again.status.anchorPolicy == AnchorPolicy(commits: 3))
        #expect(again.status.exposedCommits == 0, "opening confirms what it commits")
        try again.close()
    }

    @Test func ageIsBounded() throws {
        let now = Mutex<UInt64>(1000)
        try DeviceTesting.create(host, blocks: 40, anchor: anchor)
        var options = DeviceOptions()
        options.maintenance = .inline
        options.anchorPolicy = AnchorPolicy(milliseconds: 50)
        options.monotonicClock = { now.withLock { $0 } }
        let device = try SecureDevice.open(
            host, credential: DeviceTesting.keyFile(), anchor: anchor, options: options)
        _ = try commit(device, 1)
        now.withLock { $0 += 49 }
        let last = try commit(device, 2)
        #expect(device.status.exposedCommits == 2 && device.status.exposedMilliseconds == 49)
        #expect(try anchor.load()?.sequence != last)
        now.withLock { $0 += 1 }
        let late = try commit(device, 3)
        #expect(try anchor.load()?.sequence == late)
        #expect(device.status.exposedCommits == 0)
        try device.close()
    }

    /// With nobody calling, the device's own thread confirms.
    @Test func aQuietVolumeIsConfirmed() throws {
        try DeviceTesting.create(host, blocks: 40, anchor: anchor)
        let device = try DeviceTesting.open(
            host, anchor: anchor, background: true, anchorPolicy: AnchorPolicy(milliseconds: 20))
        let sequence = try commit(device, 1)
        for _ in 0..<2000 where try anchor.load()?.sequence != sequence { usleep(5000) }
        #expect(try anchor.load()?.sequence == sequence)
        try device.close()
    }

    /// An older state inside the window opens, as is said; one before the anchor does not.
    @Test func theWindowIsWhatTheHostCanUndo() throws {
        try DeviceTesting.create(host, blocks: 40, anchor: anchor)
        let device = try DeviceTesting.open(host, anchor: anchor, anchorPolicy: AnchorPolicy(commits: 2))
        let before = host.contents
        for value: UInt64 in 1...3 { _ = try commit(device, value) }
        let anchored = host.contents
        for value: UInt64 in 4...5 { _ = try commit(device, value) }
        #expect(device.status.exposedCommits == 2)
        let value = try anchor.load()
        #expect(throws: Never.self) {
            try DeviceTesting.open(
                MemoryBlockHost(contents: anchored), anchor: MemoryAnchor(value), mode: .readOnly)
        }
        #expect(throws: VolumeError.self) {
            try DeviceTesting.open(MemoryBlockHost(contents: before), anchor: MemoryAnchor(value), mode: .readOnly)
        }
        try device.close()
    }

    @Test func policiesAsText() {
        #expect(AnchorPolicy("every") == .everyCommit)
        #expect(AnchorPolicy("500ms") == AnchorPolicy(milliseconds: 500))
        #expect(AnchorPolicy("2s,100") == AnchorPolicy(milliseconds: 2000, commits: 100))
        #expect(AnchorPolicy("1,1ms")?.description == "at most 1 ms and 1 commit behind")
        #expect(AnchorPolicy("600s")?.description == "at most 600 s behind")
        for text in ["", "0", "ms", "5m", "1,2", "1s,2s", "1,", "-1", "5000000000", "1,2ms,3"] {
            #expect(AnchorPolicy(text) == nil, "\(text)")
        }
    }
}
