import SimHost
import Testing

@testable import SecureBlock

/// A host that changes an image: what is read is what was put in, or an error that names what does not verify.
@Suite struct ImageHostileTests {
    /// Two levels: 300 blocks, pages at blocks 301 to 303, the one on top at 304.
    private static let blockCount = 300

    /// What has to be wrong when the stored block at `position` is.
    private static func finding(_ position: Int) -> (level: Int, number: UInt64, blocks: Range<Int>) {
        switch position {
        case 304: (2, 0, 0..<blockCount)
        case 301...303:
            (1, UInt64(position - 301), (position - 301) * 128..<min(blockCount, (position - 300) * 128))
        default: (0, UInt64(position - 1), position - 1..<position)
        }
    }

    private func expectDamage(_ subject: ImageSubject, _ host: MemoryBlockHost, at position: Int, _ label: String)
        throws
    {
        let image = try ImageDevice.open(host, root: .pinned(subject.root))
        let expected = Self.finding(position)
        var findings: [ImageFinding] = []
        try image.check { findings.append($0) }
        let reason = UnreadableReason.hashMismatch(level: expected.level, number: expected.number)
        let range = UInt64(expected.blocks.lowerBound)..<UInt64(expected.blocks.upperBound)
        #expect(
            findings == [
                ImageFinding(level: expected.level, number: expected.number, blocks: range, reason: reason)
            ],
            "\(label)")
        for block in [0, 127, 128, 299, expected.blocks.lowerBound] {
            if expected.blocks.contains(block) {
                #expect(image.failure(block) == .unreadable(LogicalBlock(UInt64(block)), reason), "\(label)")
            } else {
                #expect(try image.contents(block) == subject.blocks[block], "\(label)")
            }
        }
    }

    /// Every stored block, a few bits of each.
    @Test func aFlippedBitIsFoundWhereverItIs() throws {
        let subject = try ImageSubject(blockCount: Self.blockCount) { $0 % 4 == 1 }
        var random = SimRandom(seed: 1)
        for position in 1...304 {
            for _ in 0..<(position < 301 ? 1 : 8) {
                let byte = Int.random(in: 0..<blockBytes, using: &random), bit = UInt8(1 << (random.next() % 8))
                let host = subject.tampered { bytes in
                    var value: [UInt8] = [0]
                    value.withMutableRawBytes { bytes.read(position * blockBytes + byte, into: $0) }
                    bytes.write(position * blockBytes + byte, [value[0] ^ bit])
                }
                try expectDamage(subject, host, at: position, "block \(position) byte \(byte)")
            }
        }
    }

    @Test func everyByteOfTheHeaderIsPinned() throws {
        let subject = try ImageSubject(blockCount: 5)
        let header = Array(subject.host.bytes.prefix(blockBytes))
        for byte in 0..<blockBytes {
            let host = subject.tampered { $0.write(byte, [header[byte] ^ 1]) }
            #expect {
                try ImageDevice.open(host, root: .pinned(subject.root))
            } throws: { error in
                if byte < 8 { return error as? ImageError == .notAnImage }
                guard case .wrongRootHash(subject.root, _)? = error as? ImageError else { return false }
                return true
            }
        }
    }

    /// Each is sound where it belongs.
    @Test(arguments: [(1, 2), (1, 129), (130, 258), (301, 302), (5, 301), (303, 304), (300, 304)])
    func exchangedBlocksAreFound(first: Int, second: Int) throws {
        let subject = try ImageSubject(blockCount: Self.blockCount)
        let bytes = subject.host.bytes
        func stored(_ position: Int) -> [UInt8] {
            Array(bytes[position * blockBytes..<(position + 1) * blockBytes])
        }
        let copied = subject.tampered { $0.write(first * blockBytes, stored(second)) }
        try expectDamage(subject, copied, at: first, "\(second) over \(first)")
        let exchanged = subject.tampered {
            $0.write(first * blockBytes, stored(second))
            $0.write(second * blockBytes, stored(first))
        }
        let image = try ImageDevice.open(exchanged, root: .pinned(subject.root))
        #expect(try image.check { _ in } < UInt64(Self.blockCount))
        for position in [first, second] {
            let block = Self.finding(position).blocks.lowerBound
            #expect(image.failure(block) != nil, "\(first) and \(second)")
        }
    }

    /// Equal blocks in different places have different hashes: one does not pass for the other, nor a whole page below another.
    @Test func equalBlocksHaveHashesOfTheirOwn() throws {
        let same = [UInt8](repeating: 7, count: blockBytes)
        let host = MemoryBlockHost()
        try ImageSubject.write([[UInt8]](repeating: same, count: 256), on: host)
        let bytes = host.bytes
        let hashes = stride(from: 257 * blockBytes, to: 259 * blockBytes, by: 32).map { Array(bytes[$0..<$0 + 32]) }
        #expect(Set(hashes).count == 256)
    }

    @Test func aFileCutShortOrMadeLongerIsRefused() throws {
        let subject = try ImageSubject(blockCount: Self.blockCount)
        let size = 305 * blockBytes
        for shorter in [1, blockBytes, 4 * blockBytes, size - blockBytes] {
            let host = subject.tampered { $0.truncate(to: size - shorter) }
            let expected = ImageError.truncated(
                expectedBytes: UInt64(size), foundBytes: UInt64(size - shorter))
            #expect(throws: expected) { try ImageDevice.open(host, root: .pinned(subject.root)) }
        }
        for longer in [1, blockBytes, 1 << 20] {
            let host = subject.tampered { $0.grow(to: size + longer) }
            let expected = ImageError.surplus(expectedBytes: UInt64(size), foundBytes: UInt64(size + longer))
            #expect(throws: expected) { try ImageDevice.open(host, root: .pinned(subject.root)) }
            var options = ImageDevice.Options()
            options.allowsSurplus = true
            let image = try ImageDevice.open(host, root: .pinned(subject.root), options)
            #expect(try image.check { Issue.record("\($0)") } == UInt64(Self.blockCount))
        }
        // And while it is open.
        let image = try subject.open()
        subject.host.tamper { $0.truncate(to: 10 * blockBytes) }
        guard case .unreadable(LogicalBlock(9), .host(.beyondEnd))? = image.failure(9) else {
            Issue.record("\(String(describing: image.failure(9)))")
            return
        }
    }

    /// Without a pinned root hash the header is the host's to choose.
    @Test func hostileHeadersAreRefused() throws {
        let subject = try ImageSubject(blockCount: 5)
        func open(_ offset: Int, _ bytes: [UInt8]) throws -> ImageDevice {
            try ImageDevice.open(subject.tampered { $0.write(offset, bytes) }, root: .asFound)
        }
        #expect(try !open(0, []).isPinned)
        #expect(throws: ImageError.newerVersion(found: 2, supported: 1)) { try open(8, [2, 0]) }
        #expect(throws: ImageError.newerVersion(found: 0xFFFF, supported: 1)) { try open(8, [0xFF, 0xFF]) }
        #expect(throws: ImageError.unknownFeatures(1 << 63)) { try open(23, [0x80]) }
        for (offset, bytes) in [
            (8, [0, 0]), (10, [13]), (11, [6]), (12, [2]), (13, [1]), (15, [1]), (64, [1]), (4095, [1]),
            (24, [0]), (24, [0, 0, 0, 0, 0x11]), (24, [UInt8](repeating: 0xFF, count: 8)),
        ] as [(Int, [UInt8])] {
            #expect {
                try open(offset, bytes)
            } throws: { error in
                guard case .headerDamaged? = error as? ImageError else { return false }
                return true
            }
        }
        #expect(throws: ImageError.truncated(expectedBytes: 9 * 4096, foundBytes: 7 * 4096)) { try open(24, [7]) }
        #expect(throws: ImageError.surplus(expectedBytes: 4 * 4096, foundBytes: 7 * 4096)) { try open(24, [2]) }
        // A tree of another image verifies nothing of this one.
        #expect(try open(32, [1]).failure(0) == .unreadable(LogicalBlock(0), .hashMismatch(level: 1, number: 0)))
        #expect(throws: ImageError.empty) { try ImageDevice.open(MemoryBlockHost(), root: .asFound) }
        let short = MemoryBlockHost()
        short.tamper { $0.write(0, Array("CASEIMAG".utf8)) }
        #expect(throws: ImageError.notAnImage) { try ImageDevice.open(short, root: .asFound) }
    }

    @Test func aFailedReadWipesTheBufferAndNamesTheFirstBlock() throws {
        let subject = try ImageSubject(blockCount: Self.blockCount)
        let host = subject.tampered {
            $0.write((1 + 99) * blockBytes, [255, 254])
            $0.write((1 + 70) * blockBytes, [255, 254])
        }
        let image = try ImageDevice.open(host, root: .pinned(subject.root))
        for offset in [0, 16] {
            let buffer = AlignedBuffer(byteCount: 201 * blockBytes)
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[offset..<offset + 200 * blockBytes])
            part.initializeMemory(as: UInt8.self, repeating: 9)
            let expected = DeviceError.unreadable(LogicalBlock(70), .hashMismatch(level: 0, number: 70))
            #expect(throws: expected) { try image.read(LogicalBlock(0), into: part) }
            #expect(part.allSatisfy { $0 == 0 })
        }
    }

    @Test func aHostThatFailsIsNoMismatch() throws {
        let subject = try ImageSubject(blockCount: Self.blockCount)
        let host = CrashHost(contents: subject.host.contents)
        let image = try ImageDevice.open(host, root: .pinned(subject.root))
        let broken = HostError.failed(call: "pread", errno: 5, offset: 0)
        host.failReads(in: UInt64(10 * blockBytes)..<UInt64(11 * blockBytes), with: broken)
        #expect(throws: DeviceError.unreadable(LogicalBlock(9), .host(broken))) { try image.contents(9) }
        #expect(try image.contents(10) == subject.blocks[10])
        host.failReads(in: UInt64(302 * blockBytes)..<UInt64(303 * blockBytes), with: broken)
        #expect(throws: DeviceError.unreadable(LogicalBlock(130), .host(broken))) { try image.contents(130) }
        var findings: [ImageFinding] = []
        try image.check { findings.append($0) }
        #expect(findings.map(\.level) == [0, 1] && findings.allSatisfy { $0.reason == .host(broken) })
    }
}
