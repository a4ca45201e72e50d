import SimHost
import Testing

@testable import SecureBlock

/// Reads that gather blocks from many records, with and without their tags at hand.
@Suite struct DeviceReadTests {
    private static let blocks: UInt64 = 400

    /// A device whose blocks lie scattered over records, opened so that it keeps `tagCacheBytes` of tags.
    private func scattered(_ host: any BlockHost, tagCacheBytes: Int) throws -> (SecureDevice, [UInt64]) {
        try DeviceTesting.create(host, blocks: Self.blocks, segmentBlocks: 64)
        var options = DeviceOptions()
        options.maintenance = .inline
        options.tagCacheBytes = tagCacheBytes
        options.recentRecords = 0
        let device = try SecureDevice.open(host, credential: try DeviceTesting.keyFile(), options: options)
        var model = [UInt64](repeating: 0, count: Int(Self.blocks))
        var generator = SimRandom(seed: 77)
        for value in 1...600 as ClosedRange<UInt64> {
            let block = UInt64.random(in: 0..<Self.blocks, using: &generator)
            try DeviceTesting.write(device, block, value)
            model[Int(block)] = value
            if value % 40 == 0 { try device.commit().wait() }
        }
        for block in 100..<240 as Range<UInt64> {
            try DeviceTesting.write(device, block, 1000 + block)
            model[Int(block)] = 1000 + block
        }
        try device.commit().wait()
        return (device, model)
    }

    @Test(arguments: [0, 4096, 16 << 20]) func scatteredRangesEqualTheModel(tagCacheBytes: Int) throws {
        let (device, model) = try scattered(MemoryBlockHost(), tagCacheBytes: tagCacheBytes)
        var generator = SimRandom(seed: 78)
        for _ in 0..<60 {
            let first = Int.random(in: 0..<model.count, using: &generator)
            let count = Int.random(in: 1...model.count - first, using: &generator)
            let buffer = AlignedBuffer(byteCount: count * blockBytes)
            try device.read(LogicalBlock(UInt64(first)), into: buffer.bytes)
            #expect(Array(buffer.bytes) == DeviceTesting.contents(of: Array(model[first..<first + count])))
        }
        try device.close()
    }

    /// Two blocks of a range are damaged: the error names the first of them, and nothing of the range is given out.
    @Test(arguments: [0, 16 << 20]) func theFirstDamagedBlockIsNamed(tagCacheBytes: Int) throws {
        let host = MemoryBlockHost()
        let (device, _) = try scattered(host, tagCacheBytes: tagCacheBytes)
        let damaged = [301, 130] as [UInt64]
        for block in damaged {
            let place = try #require(try device.physicalLocation(of: LogicalBlock(block)))
            host.tamper { contents in
                let at = Int(place.rawValue) * blockBytes + 17
                var byte: [UInt8] = [0]
                byte.withMutableRawBytes { contents.read(at, into: $0) }
                byte[0] ^= 4
                contents.write(at, byte)
            }
        }
        let buffer = AlignedBuffer(byteCount: Int(Self.blocks) * blockBytes)
        DeviceTesting.fill(buffer.bytes, 9)
        let place = try #require(try device.physicalLocation(of: LogicalBlock(130)))
        #expect(throws: DeviceError.unreadable(LogicalBlock(130), .tagMismatch(place))) {
            try device.read(LogicalBlock(0), into: buffer.bytes)
        }
        #expect(buffer.bytes.allSatisfy { $0 == 0 })
        try device.close()
    }

    /// A record's header that does not verify, and a page of the map: each is named as what it is.
    @Test func headersAndPagesAreNamed() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 64)
        let device = try DeviceTesting.open(host)
        try DeviceTesting.write(device, 3, 1)
        try device.commit().wait()
        let place = try #require(try device.physicalLocation(of: LogicalBlock(3)))
        try device.close()
        let page = try UnlockedVolume(
            MemoryBlockHost(contents: host.contents), credential: DeviceTesting.keyFile(), forWriting: false
        ).newest.mapTop[0].block
        // The record has one block, so its header is right before.
        let header = PhysicalBlock(place.rawValue - 1)
        for (damaged, reason) in [(header, UnreadableReason.headerMismatch(header)), (page, .mapMismatch(page))] {
            var contents = host.contents
            contents.erase(Int(damaged.rawValue) * blockBytes..<Int(damaged.rawValue + 1) * blockBytes)
            let opened = try DeviceTesting.open(MemoryBlockHost(contents: contents), mode: .readOnly)
            let buffer = AlignedBuffer(byteCount: blockBytes)
            let failure = #expect(throws: DeviceError.self) {
                try opened.read(LogicalBlock(3), into: buffer.bytes)
            }
            guard case .unreadable(_, let found)? = failure, found == reason else {
                Issue.record("\(reason): \(String(describing: failure))")
                continue
            }
            try opened.close()
        }
    }

    @Test func unsuitableOptionsAreRefused() throws {
        for (blocks, segmentBlocks) in [(64, 3), (64, 8), (0, 16)] as [(UInt64, Int)] {
            let failure = #expect(throws: VolumeError.self) {
                try DeviceTesting.create(MemoryBlockHost(), blocks: blocks, segmentBlocks: segmentBlocks)
            }
            guard case .unsuitableOptions = failure else {
                Issue.record("\(blocks) blocks, segments of \(segmentBlocks): \(String(describing: failure))")
                continue
            }
        }
    }

    /// What was written last is read back without asking the host, as often as it is replaced and whatever else is
    /// written; what lies further back comes from the host.
    @Test func lastRecordsAreReadFromMemory() throws {
        let memory = MemoryBlockHost()
        try DeviceTesting.create(memory, blocks: Self.blocks, segmentBlocks: 64)
        let host = CountingHost(memory)
        let device = try DeviceTesting.open(host, recentRecords: 4)
        for value: UInt64 in 1...300 {
            try DeviceTesting.write(device, value % 3, value)
            try DeviceTesting.write(device, 10 + value % 300, value)
            try device.commit().wait()
            let before = host.reads
            #expect(try DeviceTesting.holds(device, value % 3, value))
            if value > 1 { #expect(try DeviceTesting.holds(device, (value - 1) % 3, value - 1)) }
            #expect(host.reads == before)
        }
        let before = host.reads
        #expect(try DeviceTesting.holds(device, 11, 1))
        #expect(host.reads > before)
        for value: UInt64 in 1...299 { #expect(try DeviceTesting.holds(device, 10 + value, value)) }
        try device.close()
    }
}
