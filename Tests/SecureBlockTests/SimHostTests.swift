import SimHost
import Testing

@testable import SecureBlock

@Suite struct SimHostTests {
    let host = CrashHost()

    private func block(_ value: UInt8, blocks: Int = 1) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: blocks * blockBytes)
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: value)
        return buffer
    }

    private func begin(_ value: UInt8, at block: Int, blocks: Int = 1, durable: Bool = false) -> (
        HostWrite, AlignedBuffer
    ) {
        let buffer = self.block(value, blocks: blocks)
        let offset = UInt64(block * blockBytes)
        return (host.beginWrite(at: offset, UnsafeRawBufferPointer(buffer.bytes), durable: durable), buffer)
    }

    private func write(_ value: UInt8, at block: Int, blocks: Int = 1, durable: Bool = false) throws {
        let (write, buffer) = begin(value, at: block, blocks: blocks, durable: durable)
        try write.wait()
        withExtendedLifetime(buffer) {}
    }

    private func blocks(_ image: CrashImage, _ count: Int) throws -> [UInt8] {
        let host = image.makeHost()
        return try (0..<count).map { block in
            let buffer = AlignedBuffer(byteCount: blockBytes)
            guard try host.byteCount() >= UInt64((block + 1) * blockBytes) else { return 0 }
            try host.read(at: UInt64(block * blockBytes), into: buffer.bytes)
            return buffer.bytes[0]
        }
    }

    private func outcomes(_ count: Int, _ policy: CrashPolicy, at moment: Int? = nil) throws -> Set<[UInt8]> {
        Set(try host.crashImages(at: moment ?? host.eventCount, policy).map { try blocks($0, count) })
    }

    @Test func nothingEndsBeforeSomebodyWaits() throws {
        try host.allocate(offset: 0, byteCount: UInt64(blockBytes))
        let (write, buffer) = begin(1, at: 0)
        let back = AlignedBuffer(byteCount: blockBytes)
        try host.read(at: 0, into: back.bytes)
        #expect(back.bytes[0] == 0 && !write.isComplete)
        try host.flush()
        #expect(try outcomes(1, .quick) == [[0], [1]], "the flush does not cover it")
        try write.wait()
        #expect(write.isComplete)
        try host.read(at: 0, into: back.bytes)
        #expect(back.bytes[0] == 1)
        #expect(try outcomes(1, .quick).contains([0]), "still not flushed")
        try host.flush()
        #expect(try outcomes(1, .quick) == [[1]])
        withExtendedLifetime(buffer) {}
    }

    @Test func flushedAndDurableWritesAreCertainOthersAreNot() throws {
        try write(1, at: 0)
        try host.flush()
        try write(2, at: 1)
        try write(3, at: 2, durable: true)
        try write(4, at: 3)
        let policy = CrashPolicy(tears: false)
        #expect(try outcomes(4, policy) == [[1, 0, 3, 0], [1, 2, 3, 0], [1, 0, 3, 4], [1, 2, 3, 4]])
        // During the durable write itself nothing says yet that it is.
        #expect(try outcomes(4, policy, at: 3) == [[1, 0, 0, 0], [1, 2, 0, 0], [1, 0, 3, 0], [1, 2, 3, 0]])
    }

    @Test func prefixesOmissionsSurvivors() throws {
        for index in 0..<4 { try write(UInt8(index + 1), at: index) }
        let nothing = CrashPolicy(prefixes: false, omissions: false, survivors: false, tears: false)
        var policy = nothing
        #expect(try outcomes(4, policy) == [[0, 0, 0, 0], [1, 2, 3, 4]])
        policy.prefixes = true
        #expect(
            try outcomes(4, policy) == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 2, 0, 0], [1, 2, 3, 0], [1, 2, 3, 4]])
        policy = nothing
        policy.omissions = true
        #expect(
            try outcomes(4, policy) == [
                [0, 0, 0, 0], [0, 2, 3, 4], [1, 0, 3, 4], [1, 2, 0, 4], [1, 2, 3, 0], [1, 2, 3, 4],
            ])
        policy = nothing
        policy.survivors = true
        #expect(
            try outcomes(4, policy) == [
                [0, 0, 0, 0], [1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 4], [1, 2, 3, 4],
            ])
        policy = nothing
        policy.randomSubsets = 200
        #expect(try outcomes(4, policy).count == 16, "with enough draws every subset comes up")
    }

    @Test func tearsFallBetweenSectors() throws {
        try host.allocate(offset: 0, byteCount: UInt64(2 * blockBytes))
        try host.flush()
        try write(7, at: 0, blocks: 2)
        var heads: Set<Int> = [], tails: Set<Int> = []
        for image in host.crashImages(at: host.eventCount, .quick) {
            let buffer = AlignedBuffer(byteCount: 2 * blockBytes)
            try image.makeHost().read(at: 0, into: buffer.bytes)
            let sectors = stride(from: 0, to: 2 * blockBytes, by: 512).map { start -> Int in
                let sector = Set(buffer.bytes[start..<start + 512])
                #expect(sector.count == 1, "a sector is all or nothing")
                return sector.contains(7) ? 1 : 0
            }
            let written = sectors.reduce(0, +)
            if sectors[0] == 1 { heads.insert(written) } else { tails.insert(written) }
        }
        #expect(heads == [1, 8, 15, 16])
        #expect(tails == [0, 1, 8, 15])
    }

    @Test func aFailedFlushMayLoseWhatItCovered() throws {
        try write(1, at: 0)
        host.fail(.flush, with: .failed(call: "fdatasync", errno: 5, offset: nil))
        #expect(throws: HostError.failed(call: "fdatasync", errno: 5, offset: nil)) { try host.flush() }
        try write(2, at: 1)
        try host.flush()
        #expect(try outcomes(2, .quick) == [[0, 2], [1, 2]])
    }

    @Test func aFailedWriteMayHaveArrived() throws {
        host.fail(.write, after: 1, with: .noSpace)
        try write(1, at: 0)
        #expect(throws: HostError.noSpace) { try write(2, at: 1) }
        try write(3, at: 2)
        try host.flush()
        #expect(try outcomes(3, CrashPolicy(tears: false)) == [[1, 0, 3], [1, 2, 3]])
    }

    @Test func faultsComeWhenTheyAreToAndGo() throws {
        try write(1, at: 0)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        host.fail(.read, after: 1, times: 2, with: .noSpace)
        try host.read(at: 0, into: buffer.bytes)
        for _ in 0..<2 { #expect(throws: HostError.noSpace) { try host.read(at: 0, into: buffer.bytes) } }
        try host.read(at: 0, into: buffer.bytes)
        host.failReads(in: 100..<200, with: .closed)
        #expect(throws: HostError.closed) { try host.read(at: 0, into: buffer.bytes) }
        host.clearFaults()
        host.flipBit(3, atByte: 5)
        try host.read(at: 0, into: buffer.bytes)
        #expect(buffer.bytes[5] == 1 ^ 8 && buffer.bytes[4] == 1)
        try host.flush()
        let images = host.crashImages(at: host.eventCount, .quick)
        #expect(images.count == 1)
        try images[0].makeHost().read(at: 0, into: buffer.bytes)
        #expect(buffer.bytes[5] == 1 ^ 8)
    }

    @Test func imagesCarryAnchorAndMark() throws {
        let anchor = SimAnchor(host)
        let volume = try VolumeIdentifier.random()
        let values = (1...2).map { AnchorValue(volume: volume, sequence: SequenceNumber(UInt64($0)), tag: .zero) }
        #expect(try anchor.load() == nil)
        try anchor.compareAndSwap(expected: nil, new: values[0])
        host.mark(41)
        #expect(throws: AnchorError.conflict(found: values[0])) {
            try anchor.compareAndSwap(expected: nil, new: values[1])
        }
        let update = host.eventCount
        try anchor.compareAndSwap(expected: values[0], new: values[1])
        host.mark(42)
        let during = host.crashImages(at: update, .quick)
        #expect(during.map(\.anchor) == [values[0], values[1]])
        #expect(during.allSatisfy { $0.lastMark == 41 })
        let after = host.crashImages(at: host.eventCount, .quick)
        #expect(after.map(\.anchor) == [values[1]] && after[0].lastMark == 42)
        #expect(try after[0].makeAnchor().load() == values[1])
        #expect(try SimAnchor(after[0].makeCrashHost()).load() == values[1])

        anchor.fail(with: .unavailable("gone"))
        #expect(throws: AnchorError.unavailable("gone")) {
            try anchor.compareAndSwap(expected: values[1], new: values[0])
        }
        #expect(try anchor.load() == values[1])
        anchor.fail(with: .unavailable("lost answer"), applied: true)
        #expect(throws: AnchorError.unavailable("lost answer")) {
            try anchor.compareAndSwap(expected: values[1], new: values[0])
        }
        #expect(try anchor.load() == values[0])
    }

    @Test func theSameCallsGiveTheSameImages() throws {
        func run() throws -> [String] {
            let host = CrashHost()
            var random = SimRandom(seed: 9), lines: [String] = []
            for step in 0..<30 {
                let buffer = block(UInt8(step + 1))
                let target = UInt64(Int.random(in: 0..<8, using: &random) * blockBytes)
                try host.write(at: target, UnsafeRawBufferPointer(buffer.bytes))
                if Int.random(in: 0..<5, using: &random) == 0 { try host.flush() }
            }
            host.forEachCrashImage(.thorough(seed: 3)) { image in
                lines.append(image.description + " \(SimContents.sum(image))")
            }
            return lines
        }
        let first = try run()
        #expect(first.count > 200)
        #expect(try first == run())
    }

    @Test func equalImagesComeOnce() throws {
        try write(1, at: 0)
        try host.flush()
        for _ in 0..<5 { try write(1, at: 0) }
        #expect(host.crashImages(at: host.eventCount, .thorough(seed: 1)).count == 1)
    }

    @Test func aChangedBufferIsNoticed() throws {
        let (write, buffer) = begin(1, at: 0)
        buffer.bytes[100] = 9
        try write.wait()
        #expect(host.violations.count == 1)
    }

    @Test func closingEndsWhatIsUnderWay() throws {
        let (write, buffer) = begin(1, at: 0)
        host.close()
        #expect(write.isComplete)
        #expect(throws: HostError.closed) { try host.flush() }
        withExtendedLifetime(buffer) {}
    }

    /// The point of it all: a store that forgets to flush before it acknowledges is found out, and one that does not
    /// forget is not.
    @Test(arguments: [true, false]) func missingFlushesAreFound(flushes: Bool) throws {
        for version in 1...5 {
            try write(UInt8(version), at: version % 2)
            if flushes { try host.flush() }
            host.mark(UInt64(version))
        }
        var broken = 0
        try host.forEachCrashImage(.thorough(seed: 1)) { image in
            let newest = try blocks(image, 2).max() ?? 0
            if UInt64(newest) < image.lastMark ?? 0 { broken += 1 }
        }
        #expect((broken > 0) == !flushes)
    }

    @Test func imagesShareWhatTheyDoNotChange() throws {
        // Images share what they do not change: five hundred of a 64 MiB store must not take 32 GB.
        try host.allocate(offset: 0, byteCount: 64 << 20)
        for index in 0..<64 { try write(1, at: index * 256, blocks: 256) }
        try host.flush()
        for index in 0..<20 { try write(2, at: index * 700) }
        let images = host.crashImages(at: host.eventCount, CrashPolicy(randomSubsets: 450))
        #expect(images.count > 450)
    }
}

private enum SimContents {
    static func sum(_ image: CrashImage) -> UInt64 {
        let size = image.contents.byteCount
        guard size > 0 else { return 0 }
        var bytes = [UInt8](repeating: 0, count: size)
        bytes.withMutableRawBytes { image.contents.read(0, into: $0) }
        return bytes.reduce(0) { $0 &* 31 &+ UInt64($1) }
    }
}
