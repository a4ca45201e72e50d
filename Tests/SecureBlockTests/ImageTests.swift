import SimHost
import Testing

@testable import SecureBlock

@Suite struct ImageTests {
    /// Around every size at which a page or a level is added.
    @Test(arguments: [1, 2, 127, 128, 129, 256, 300, 128 * 128, 128 * 128 + 1])
    func theRootHashIsTheDocumentedOne(blockCount: Int) throws {
        let subject = try ImageSubject(blockCount: blockCount) { $0 % 5 == 3 }
        #expect(try subject.root.description == ImageSubject.documentedRoot(subject.host.bytes))
        let image = try subject.open()
        #expect(image.logicalBlockCount == UInt64(blockCount) && image.isPinned && image.rootHash == subject.root)
        for block in [0, blockCount / 2, blockCount - 1] {
            #expect(try image.contents(block) == subject.blocks[block])
        }
        #expect(try image.check { Issue.record("\($0)") } == UInt64(blockCount))
    }

    @Test func theSameBlocksMakeTheSameBytes() throws {
        let subject = try ImageSubject(blockCount: 600) { $0 % 7 == 2 || (100..<300).contains($0) }
        for atATime in [1, 255, 256, 600] {
            let other = MemoryBlockHost()
            #expect(try ImageSubject.write(subject.blocks, on: other, atATime: atATime) == subject.root)
            #expect(other.bytes == subject.host.bytes)
        }
    }

    @Test func everyRangeReadsAsWritten() throws {
        let subject = try ImageSubject(blockCount: 700) { $0 % 9 == 0 }
        let image = try subject.open(cachePages: 2)
        var random = SimRandom(seed: 5)
        for _ in 0..<200 {
            let first = Int.random(in: 0..<700, using: &random)
            let count = Int.random(in: 1...min(300, 700 - first), using: &random)
            // Half of them into memory that direct I/O does not take.
            let offset = Bool.random(using: &random) ? 0 : 8
            let buffer = AlignedBuffer(byteCount: count * blockBytes + 8)
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[offset..<offset + count * blockBytes])
            try image.read(LogicalBlock(UInt64(first)), into: part)
            #expect(
                Array(part) == ImageSubject.joined(subject.blocks[first..<first + count]), "\(first) + \(count)")
            #expect(image.checkInvariants() && image.cache.count <= 2)
        }
        #expect(throws: DeviceError.outOfRange(LogicalBlock(699), count: 2)) { try image.contents(699, count: 2) }
        #expect(throws: DeviceError.outOfRange(LogicalBlock(.max), count: 1)) {
            try image.read(LogicalBlock(.max), into: AlignedBuffer(byteCount: blockBytes).bytes)
        }
        #expect(throws: DeviceError.misaligned(byteCount: 100)) {
            try image.read(LogicalBlock(0), into: AlignedBuffer(byteCount: 100).bytes)
        }
    }

    @Test func threadsReadAtOnce() throws {
        let subject = try ImageSubject(blockCount: 1000)
        let image = try subject.open(cachePages: 3)
        let threads = (0..<8).map { seed in
            TestThread.Outcome {
                var random = SimRandom(seed: UInt64(seed))
                for _ in 0..<100 {
                    let block = Int.random(in: 0..<1000, using: &random)
                    guard try image.contents(block) == subject.blocks[block] else { return false }
                }
                return true
            }
        }
        for thread in threads { #expect(try thread.wait()) }
        #expect(image.checkInvariants())
    }

    /// A tree of small files reads as many small reads, each behind the last.
    @Test func smallReadsInARowTakeTheNextOnesAlong() throws {
        let subject = try ImageSubject(blockCount: 400) { $0 % 9 == 0 }
        let host = CountingHost(subject.host)
        let image = try ImageDevice.open(host, root: .pinned(subject.root))
        for block in 0..<400 { #expect(try image.contents(block) == subject.blocks[block]) }
        let inARow = host.reads
        #expect(inARow < 30, "\(inARow) host reads")
        for index in 0..<400 {
            let block = index * 171 % 400
            #expect(try image.contents(block) == subject.blocks[block])
        }
        #expect(host.reads - inARow <= 400)
    }

    @Test func nothingIsWritten() throws {
        let image = try ImageSubject(blockCount: 3).open()
        #expect(image.isReadOnly && !image.commitWanted)
        let block = AlignedBuffer(byteCount: blockBytes)
        #expect(throws: DeviceError.readOnly) {
            try image.write(LogicalBlock(0), UnsafeRawBufferPointer(block.bytes))
        }
        #expect(throws: DeviceError.readOnly) { try image.discard(LogicalBlock(0), count: 1) }
        #expect(throws: DeviceError.readOnly) { try image.commit() }
    }

    @Test func hashesAreReadAndWrittenAsSha256sumDoes() throws {
        let root = try ImageSubject(blockCount: 1).root
        #expect(TreeHash(root.description) == root && TreeHash(root.description.uppercased()) == root)
        for text in ["", "00", root.description + "0", root.description + "00", " " + root.description.dropFirst()]
        {
            #expect(TreeHash(text) == nil, "\(text)")
        }
    }

    // MARK: making one

    @Test func nothingIsOverwritten() throws {
        let host = MemoryBlockHost()
        host.tamper { $0.grow(to: blockBytes) }
        #expect(throws: ImageError.notEmpty) { _ = try ImageWriter(on: host, blockCount: 1) }
        for blocks: UInt64 in [0, 1 << 36 + 1, .max] {
            #expect(throws: ImageError.unsuitableSize(blocks: blocks)) {
                _ = try ImageWriter(on: MemoryBlockHost(), blockCount: blocks)
            }
        }
    }

    /// Until it is finished there is no image, whatever the disk did with what was written; once it is, there is all of it.
    @Test func aCrashLeavesNoHalfImage() throws {
        let host = CrashHost()
        let subject = try ImageSubject(blockCount: 140, isZero: { $0 % 3 == 1 }, on: host)
        host.mark(1)
        #expect(host.violations.isEmpty)
        var opened = 0
        let images = host.forEachCrashImage(.thorough(seed: 3)) { crash in
            do {
                let image = try ImageDevice.open(crash.makeHost(), root: .pinned(subject.root))
                #expect(try image.check { Issue.record("\(crash): \($0)") } == 140, "\(crash)")
                opened += 1
            } catch {
                #expect(crash.lastMark == nil, "\(crash): \(error)")
            }
        }
        #expect(opened > 0 && images > opened)
    }

    @Test(arguments: [SimCall.write, .flush])
    func aHostThatFailsEndsTheMaking(call: SimCall) throws {
        for after in 0..<2 {
            let host = CrashHost()
            host.fail(call, after: after, with: .noSpace)
            #expect(throws: ImageError.host(.noSpace), "\(call) \(after)") {
                try ImageSubject.write((0..<3).map { ImageSubject.block($0) }, on: host)
            }
            // When the last flush fails, all of it may be there; it is not for us to say so.
            if call == .write || after == 0 {
                #expect(throws: ImageError.self) { try ImageDevice.open(host, root: .asFound) }
            }
        }
    }
}
