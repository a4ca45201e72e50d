import SimHost
import Testing

@testable import SecureBlock

@Suite struct DeviceBasicTests {
    @Test func newDeviceReadsAsZeros() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host)
        let device = try DeviceTesting.open(host)
        #expect(try DeviceTesting.contents(device).allSatisfy { $0 == 0 })
        try device.close()
    }

    @Test func whatIsWrittenIsRead() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host)
        let device = try DeviceTesting.open(host)
        for block: UInt64 in 0..<100 { try DeviceTesting.write(device, block, block + 1) }
        for block: UInt64 in 0..<100 { #expect(try DeviceTesting.holds(device, block, block + 1)) }
        try device.commit().wait()
        for block: UInt64 in 0..<100 { #expect(try DeviceTesting.holds(device, block, block + 1)) }
        try device.checkInvariants()
        try device.close()
    }

    @Test func committedStateSurvivesReopening() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host)
        var device = try DeviceTesting.open(host)
        for block: UInt64 in 0..<100 { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        try DeviceTesting.write(device, 5, 999)
        // Closing commits nothing: only the client does.
        let copy = MemoryBlockHost(contents: host.contents)
        try device.close()
        for image in [copy] {
            device = try DeviceTesting.open(image)
            for block: UInt64 in 0..<100 { #expect(try DeviceTesting.holds(device, block, block + 1)) }
            try device.checkInvariants()
            try device.close()
        }
    }

    @Test func mixedRangesReadZerosWhereNothingIs() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host)
        let device = try DeviceTesting.open(host)
        for block: UInt64 in stride(from: 0, to: 60, by: 3) { try DeviceTesting.write(device, block, block + 7) }
        try device.discard(LogicalBlock(9), count: 10)
        let model = (0..<256).map { (block: UInt64) -> UInt64 in
            block < 60 && block % 3 == 0 && !(9..<19).contains(block) ? block + 7 : 0
        }
        #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model))
        try device.commit().wait()
        #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model))
        try device.checkInvariants()
        try device.close()
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func randomOperationsEqualTheModel(seed: UInt64) throws {
        var generator = SimRandom(seed: seed)
        var host = MemoryBlockHost()
        let anchor = MemoryAnchor()
        let blocks = 200
        try DeviceTesting.create(host, blocks: UInt64(blocks), anchor: anchor)
        var device = try DeviceTesting.open(host, anchor: anchor, checkpointInterval: 40 * blockBytes)
        var model = [UInt64](repeating: 0, count: blocks)
        var committed = model
        var value: UInt64 = 0
        for _ in 0..<1500 {
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<70:
                let first = Int.random(in: 0..<blocks, using: &generator)
                let count = min(Int.random(in: 1...12, using: &generator), blocks - first)
                let buffer = AlignedBuffer(byteCount: count * blockBytes)
                var values: [UInt64] = []
                for index in 0..<count {
                    value += 1
                    values.append(value)
                    DeviceTesting.fill(buffer.slice(index * blockBytes, blockBytes), value)
                }
                do {
                    try device.write(LogicalBlock(UInt64(first)), UnsafeRawBufferPointer(buffer.bytes))
                    model.replaceSubrange(first..<first + count, with: values)
                } catch {
                    guard DeviceTesting.isShortOfSpace(error) else { throw error }
                    // Part of it may be there; settle what is.
                    for index in 0..<count
                    where try DeviceTesting.holds(device, UInt64(first + index), values[index]) {
                        model[first + index] = values[index]
                    }
                    try device.commit().wait()
                    committed = model
                }
            case 70..<80:
                let first = Int.random(in: 0..<blocks, using: &generator)
                let count = min(Int.random(in: 1...40, using: &generator), blocks - first)
                try device.discard(LogicalBlock(UInt64(first)), count: UInt64(count))
                for index in first..<first + count { model[index] = 0 }
            case 80..<95:
                try device.commit().wait()
                committed = model
            case 95..<98:
                try device.checkInvariants()
                #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model), "seed \(seed)")
            default:
                host = MemoryBlockHost(contents: host.contents)
                device = try DeviceTesting.open(host, anchor: anchor, checkpointInterval: 40 * blockBytes)
                model = committed
                #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model), "seed \(seed)")
                try device.checkInvariants()
            }
        }
        try device.close()
    }
}

@Suite struct DeviceFaultTests {
    /// A block that does not verify: a typed error that names it, a buffer of zeros, and nothing else affected (I15).
    @Test func failedReadWipesTheBuffer() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host)
        let device = try DeviceTesting.open(host)
        for block: UInt64 in 0..<8 { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        let place = try #require(try device.physicalLocation(of: LogicalBlock(5)))
        host.tamper { contents in
            let stored = AlignedBuffer(byteCount: blockBytes)
            contents.read(Int(place.rawValue) * blockBytes, into: stored.bytes)
            contents.write(Int(place.rawValue) * blockBytes + 77, [stored.bytes[77] ^ 1])
        }
        let buffer = AlignedBuffer(byteCount: 8 * blockBytes)
        DeviceTesting.fill(buffer.bytes, 42)
        #expect(throws: DeviceError.unreadable(LogicalBlock(5), .tagMismatch(place))) {
            try device.read(LogicalBlock(0), into: buffer.bytes)
        }
        #expect(buffer.bytes.allSatisfy { $0 == 0 })
        for block: UInt64 in [0, 1, 2, 3, 4, 6, 7] { #expect(try DeviceTesting.holds(device, block, block + 1)) }
        try DeviceTesting.write(device, 5, 55)
        #expect(try DeviceTesting.holds(device, 5, 55))
        try device.close()
    }

    @Test func rangesOutsideTheDeviceAreRefused() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host)
        let device = try DeviceTesting.open(host)
        let buffer = AlignedBuffer(byteCount: 2 * blockBytes)
        #expect(throws: DeviceError.outOfRange(LogicalBlock(255), count: 2)) {
            try device.read(LogicalBlock(255), into: buffer.bytes)
        }
        #expect(throws: DeviceError.outOfRange(LogicalBlock(UInt64.max), count: 2)) {
            try device.write(LogicalBlock(UInt64.max), UnsafeRawBufferPointer(buffer.bytes))
        }
        #expect(throws: DeviceError.outOfRange(LogicalBlock(1), count: UInt64.max)) {
            try device.discard(LogicalBlock(1), count: UInt64.max)
        }
        #expect(throws: DeviceError.misaligned(byteCount: 100)) {
            try device.read(LogicalBlock(1), into: buffer.slice(0, 100))
        }
        try device.close()
        #expect(throws: DeviceError.closed) { try device.read(LogicalBlock(1), into: buffer.bytes) }
    }
}
