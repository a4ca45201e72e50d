import Testing

@testable import SecureBlock
@testable import SimHost

/// Each fault does what it says, so that surviving it means something.
@Suite struct HostileHostTests {
    private func write(_ host: HostileHost, _ block: Int, _ byte: UInt8, durable: Bool = false) throws {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: byte)
        try host.beginWrite(
            at: UInt64(block * blockBytes), UnsafeRawBufferPointer(buffer.bytes), durable: durable
        ).wait()
    }

    private func read(_ host: some BlockHost, _ block: Int) throws -> [UInt8] {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        try host.read(at: UInt64(block * blockBytes), into: buffer.bytes)
        return Array(buffer.bytes)
    }

    private func block(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: blockBytes) }

    /// A host with blocks 0 to 7 filled with their numbers plus one, all durable, and then the faults.
    private func prepared(_ faults: Set<DiskFault>, seed: UInt64 = 1) throws -> HostileHost {
        let host = HostileHost(seed: seed, clock: SimClock())
        try host.allocate(offset: 0, byteCount: UInt64(8 * blockBytes))
        for number in 0..<8 { try write(host, number, UInt8(number + 1)) }
        try host.flush()
        host.setPlan(FaultPlan(faults, perMille: 1000))
        return host
    }

    @Test func flushedWritesSurviveACrash() throws {
        let host = try prepared([])
        try write(host, 3, 9)
        try host.flush()
        let after = host.powerCycle(seed: 2)
        #expect(try read(after, 3) == block(9))
        #expect(throws: HostError.self) {
            host.cutPower()
            try host.flush()
        }
    }

    @Test func unflushedWritesAreLostWholeOrTorn() throws {
        var outcomes: Set<String> = []
        for seed: UInt64 in 1...60 {
            let host = try prepared([.tornAtCrash], seed: seed)
            try write(host, 3, 9)
            let found = try read(host.powerCycle(seed: seed), 3)
            outcomes.insert(found == block(9) ? "whole" : found == block(4) ? "lost" : "torn")
        }
        #expect(outcomes == ["whole", "lost", "torn"])
    }

    @Test func aDurableWriteSurvives() throws {
        let host = try prepared([])
        try write(host, 3, 9, durable: true)
        #expect(try read(host.powerCycle(seed: 2), 3) == block(9))
    }

    @Test(arguments: [DiskFault.transientReadError, .interruptedCall, .permanentError])
    func readsFail(_ fault: DiskFault) throws {
        let host = try prepared([fault])
        #expect(throws: HostError.self) {
            for number in 0..<8 { _ = try read(host, number) }
        }
        #expect(host.failuresTold > 0 && host.liesTold == 0)
    }

    @Test(arguments: [DiskFault.transientWriteError, .shortWrite, .interruptedCall])
    func writesFail(_ fault: DiskFault) throws {
        let host = try prepared([fault])
        #expect(throws: HostError.self) { try write(host, 3, 9) }
        #expect(host.failuresTold > 0 && host.liesTold == 0)
    }

    @Test func spaceRunsOut() throws {
        let host = try prepared([.noSpace])
        #expect(throws: HostError.noSpace) { try host.allocate(offset: 0, byteCount: UInt64(blockBytes)) }
    }

    @Test func aFailedFlushLosesWhatItShouldHaveKept() throws {
        var lost = 0
        for seed: UInt64 in 1...20 {
            let host = try prepared([.failedFlush], seed: seed)
            try write(host, 3, 9)
            #expect(throws: HostError.self) { try host.flush() }
            if try read(host, 3) != block(9) { lost += 1 }
        }
        #expect(lost > 0 && lost < 20)
    }

    @Test(arguments: [DiskFault.lostWrite, .tornWrite, .misdirectedWrite])
    func writesAreNotWhereTheyShouldBe(_ fault: DiskFault) throws {
        var wrong = 0
        for seed: UInt64 in 1...10 {
            let host = try prepared([fault], seed: seed)
            try write(host, 3, 9)
            host.endFaults()
            if try read(host, 3) != block(9) { wrong += 1 }
            #expect(host.liesTold > 0)
        }
        #expect(wrong > 5)
    }

    @Test(arguments: [DiskFault.duplicatedWrite, .replayedWrite, .bitRot, .zeroedSector])
    func otherPlacesChange(_ fault: DiskFault) throws {
        var changed = 0
        for seed: UInt64 in 1...10 {
            let host = try prepared([fault], seed: seed)
            try write(host, 3, 9)
            try host.flush()
            try write(host, 3, 10)
            try host.flush()
            host.endFaults()
            for number in 0..<8 where try read(host, number) != block(number == 3 ? 10 : UInt8(number + 1)) {
                changed += 1
            }
        }
        #expect(changed > 0)
    }

    @Test(arguments: [DiskFault.staleRead, .misdirectedRead, .flippedRead])
    func readsLie(_ fault: DiskFault) throws {
        let host = try prepared([fault])
        try host.flush()
        try write(host, 3, 9)
        var answers: Set<[UInt8]> = []
        for _ in 0..<20 { answers.insert(try read(host, 3)) }
        host.endFaults()
        let truth = try read(host, 3)
        #expect(truth == block(9) && answers != [truth])
    }

    @Test func aLyingFlushKeepsNothing() throws {
        var lost = 0
        for seed: UInt64 in 1...20 {
            let host = try prepared([.lyingFlush], seed: seed)
            try write(host, 3, 9)
            try host.flush()
            if try read(host.powerCycle(seed: seed), 3) != block(9) { lost += 1 }
        }
        #expect(lost > 0)
    }

    /// The ledger sees a block sealed twice, and a secret in clear.
    @Test func theLedgerCanFail() throws {
        let ledger = SealLedger(canaries: [Array("canary canary canary".utf8)])
        let buffer = AlignedBuffer(byteCount: 2 * blockBytes)
        let key = try SealingKey(
            key: [UInt8](repeating: 1, count: 32).withUnsafeBytes { try SecretBytes(copying: $0) })
        var header = RecordHeader(
            dataBlocks: 1, epoch: Tag(low: 1, high: 2), sequence: SequenceNumber(5),
            position: LogPosition(segment: 0, block: 0), generation: Generation(1), previousTag: .zero, flags: [],
            stream: .user, durable: SequenceNumber(0),
            next: SegmentReference(segment: 1, generation: Generation(1)), timeMilliseconds: 0,
            entries: [RecordEntry(BlockAssociation(.data, address: 0), tag: .zero)])
        try header.seal(into: buffer.slice(0, blockBytes), at: PhysicalBlock(192), key)
        ledger.record(192 * UInt64(blockBytes), UnsafeRawBufferPointer(buffer.bytes))
        ledger.record(192 * UInt64(blockBytes), UnsafeRawBufferPointer(buffer.bytes))
        #expect(ledger.findings.isEmpty && ledger.sealedCount == 2)
        buffer.bytes[blockBytes + 7] = 1
        ledger.record(192 * UInt64(blockBytes), UnsafeRawBufferPointer(buffer.bytes))
        #expect(ledger.findings.count == 1)
        buffer.slice(blockBytes + 99, 20).copyBytes(from: Array("canary canary canary".utf8))
        ledger.record(700 * UInt64(blockBytes), UnsafeRawBufferPointer(buffer.bytes))
        #expect(ledger.findings.contains { $0.contains("secret") })
    }
}
