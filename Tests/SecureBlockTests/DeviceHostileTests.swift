import SimHost
import Testing

@testable import SecureBlock

/// A small volume with two generations of data, discards and several checkpoints, and its images at two moments.
private struct Subject {
    var older: SparseBytes
    var olderAnchor: AnchorValue?
    var newer: SparseBytes
    var newerAnchor: AnchorValue?
    var olderModel: [UInt64]
    var newerModel: [UInt64]

    init(seed: UInt64, cipher: CipherSuite = .aes256GCM) throws {
        let host = MemoryBlockHost(), anchor = MemoryAnchor(), blocks: UInt64 = 48
        try DeviceTesting.create(host, blocks: blocks, cipher: cipher, anchor: anchor)
        var generator = SimRandom(seed: seed)
        var model = [UInt64](repeating: 0, count: Int(blocks))
        var value: UInt64 = 0
        func work(_ device: SecureDevice, _ steps: Int) throws {
            for _ in 0..<steps {
                let block = Int.random(in: 0..<Int(blocks), using: &generator)
                if Int.random(in: 0..<12, using: &generator) == 0 {
                    try device.discard(LogicalBlock(UInt64(block)), count: 1)
                    model[block] = 0
                } else {
                    value += 1
                    try DeviceTesting.write(device, UInt64(block), value)
                    model[block] = value
                }
                if Int.random(in: 0..<7, using: &generator) == 0 { try device.commit().wait() }
            }
            try device.commit().wait()
        }
        let device = try DeviceTesting.open(host, anchor: anchor, checkpointInterval: 30 * blockBytes)
        try work(device, 60)
        older = host.contents
        olderAnchor = try anchor.load()
        olderModel = model
        try work(device, 60)
        newer = host.contents
        newerAnchor = try anchor.load()
        newerModel = model
        try device.close()
    }
}

/// What reading everything of an opened image gave.
private enum Outcome: Equatable {
    case refused(String)
    /// Blocks that threw; all others held the expected bytes.
    case held(unreadable: Int)
    case wrong(block: UInt64)
}

private func outcome(_ image: SparseBytes, anchor: AnchorValue?, models: [[UInt64]]) throws -> Outcome {
    let host = MemoryBlockHost(contents: image)
    let device: SecureDevice
    do {
        device = try DeviceTesting.open(host, anchor: anchor.map { MemoryAnchor($0) }, mode: .readOnly)
    } catch let error as VolumeError {
        return .refused("\(error)")
    }
    var outcome = Outcome.held(unreadable: 0)
    for model in models {
        var unreadable = 0
        var wrong: UInt64?
        for block in 0..<UInt64(model.count) {
            do {
                if try !DeviceTesting.holds(device, block, model[Int(block)]) { wrong = block }
            } catch is DeviceError { unreadable += 1 }
        }
        guard let wrong else {
            try device.close()
            return .held(unreadable: unreadable)
        }
        outcome = .wrong(block: wrong)
    }
    return outcome
}

@Suite struct DeviceHostileTests {
    /// One flipped bit anywhere: an error, or the right bytes; and a check with all data finds what readers would.
    @Test(arguments: CipherSuite.allCases) func flippedBitsAreFound(cipher: CipherSuite) throws {
        let subject = try Subject(seed: 3, cipher: cipher)
        var generator = SimRandom(seed: 99)
        var flips = 0, refused = 0, unreadable = 0
        let block = AlignedBuffer(byteCount: blockBytes)
        // What suites have in common is looked at with one of them.
        let step = cipher == .aes256GCM ? 1 : 5
        for physical in stride(from: 0, to: subject.newer.byteCount / blockBytes, by: step) {
            subject.newer.read(physical * blockBytes, into: block.bytes)
            guard block.bytes.contains(where: { $0 != 0 }) else { continue }
            // The clear fields, the tags, the sealed part, the end.
            let offsets =
                [0, 7, 9, 17, 30, 43, 60, 64, 79, 88, 97, 104, 120, 4000, 4095]
                + (0..<3).map { _ in Int.random(in: 0..<blockBytes, using: &generator) }
            for offset in offsets {
                var image = subject.newer
                let bit = UInt8(1) << UInt8.random(in: 0..<8, using: &generator)
                image.write(physical * blockBytes + offset, [block.bytes[offset] ^ bit])
                let found = try outcome(image, anchor: subject.newerAnchor, models: [subject.newerModel])
                flips += 1
                switch found {
                case .wrong(let logical):
                    Issue.record("a bit of byte \(offset) of block \(physical): block \(logical) reads wrong")
                case .refused: refused += 1
                case .held(let count):
                    unreadable += count > 0 ? 1 : 0
                    var findings: [VolumeFinding] = []
                    var options = VolumeCheck.Options()
                    options.readsData = true
                    do {
                        _ = try VolumeCheck.run(
                            MemoryBlockHost(contents: image), credential: DeviceTesting.keyFile(),
                            anchor: subject.newerAnchor.map { MemoryAnchor($0) }, options: options,
                            progress: { _, _ in }, report: { findings.append($0) })
                    } catch let error as VolumeError {
                        Issue.record("a bit of byte \(offset) of block \(physical): opens, but check says \(error)")
                    }
                    let errors = findings.filter { $0.severity == .error }
                    #expect(errors.isEmpty == (count == 0), "byte \(offset) of block \(physical): \(findings)")
                }
            }
        }
        #expect(flips > 500 / step && refused > 20 / step && unreadable > 20 / step)
    }

    /// Any two blocks exchanged: an error, or the right bytes.
    @Test(arguments: [CipherSuite.aes256GCM, .integrityOnly]) func exchangedBlocksAreFound(cipher: CipherSuite)
        throws
    {
        let subject = try Subject(seed: 4, cipher: cipher)
        var generator = SimRandom(seed: 7)
        let count = subject.newer.byteCount / blockBytes
        let first = AlignedBuffer(byteCount: blockBytes), second = AlignedBuffer(byteCount: blockBytes)
        for _ in 0..<(cipher == .aes256GCM ? 1500 : 200) {
            let a = Int.random(in: 0..<count, using: &generator), b = Int.random(in: 0..<count, using: &generator)
            subject.newer.read(a * blockBytes, into: first.bytes)
            subject.newer.read(b * blockBytes, into: second.bytes)
            var image = subject.newer
            image.write(a * blockBytes, UnsafeRawBufferPointer(second.bytes))
            image.write(b * blockBytes, UnsafeRawBufferPointer(first.bytes))
            if case .wrong(let logical) = try outcome(
                image, anchor: subject.newerAnchor, models: [subject.newerModel])
            {
                Issue.record("blocks \(a) and \(b) exchanged: block \(logical) reads wrong")
            }
        }
    }

    /// Blocks, segments, slots of an earlier time put back: never a mixture, and with the anchor never the past.
    @Test(arguments: [1, 16, 64])
    func replayedRangesAreFound(blocksAtOnce: Int) throws {
        let subject = try Subject(seed: 5)
        let count = subject.newer.byteCount / blockBytes
        let buffer = AlignedBuffer(byteCount: blocksAtOnce * blockBytes)
        var refused = 0
        for first in stride(from: 0, to: count, by: blocksAtOnce) {
            let length = min(blocksAtOnce, count - first)
            subject.older.read(first * blockBytes, into: buffer.slice(0, length * blockBytes))
            var image = subject.newer
            image.write(first * blockBytes, UnsafeRawBufferPointer(buffer.slice(0, length * blockBytes)))
            let anchored = try outcome(image, anchor: subject.newerAnchor, models: [subject.newerModel])
            if case .wrong(let logical) = anchored {
                Issue.record("blocks from \(first) put back: block \(logical) reads wrong")
            }
            if case .refused = anchored { refused += 1 }
        }
        #expect(refused > 0 || blocksAtOnce == 1)
    }

    @Test func olderCopyIsRefusedAsRollback() throws {
        let subject = try Subject(seed: 6)
        let host = MemoryBlockHost(contents: subject.older)
        let expected = try #require(subject.newerAnchor).sequence,
            found = try #require(subject.olderAnchor).sequence
        #expect(throws: VolumeError.rollback(anchor: expected, volume: found)) {
            try DeviceTesting.open(host, anchor: MemoryAnchor(subject.newerAnchor))
        }
        // With the anchor of its own time it is no rollback.
        #expect(
            try outcome(subject.older, anchor: subject.olderAnchor, models: [subject.olderModel])
                == .held(unreadable: 0))
    }

    @Test func secondOfTwoClonesIsRefused() throws {
        let subject = try Subject(seed: 8)
        let anchor = MemoryAnchor(subject.newerAnchor)
        let first = try DeviceTesting.open(MemoryBlockHost(contents: subject.newer), anchor: anchor)
        try DeviceTesting.write(first, 1, 77)
        try first.commit().wait()
        #expect(throws: VolumeError.self) {
            try DeviceTesting.open(MemoryBlockHost(contents: subject.newer), anchor: anchor)
        }
        try first.close()
    }

    @Test func logCutAtEveryRecordIsRefusedOrWhole() throws {
        let subject = try Subject(seed: 9)
        let zeros = [UInt8](repeating: 0, count: blockBytes)
        for physical in Int(Layout.firstFreeBlock)..<subject.newer.byteCount / blockBytes {
            var image = subject.newer
            image.write(physical * blockBytes, zeros)
            if case .wrong(let logical) = try outcome(
                image, anchor: subject.newerAnchor, models: [subject.newerModel])
            {
                Issue.record("block \(physical) zeroed: block \(logical) reads wrong")
            }
        }
    }
}
