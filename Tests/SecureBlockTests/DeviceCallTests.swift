import Testing

@testable import SecureBlock

/// Calls at the edge of what may be asked of a device.
@Suite struct DeviceCallTests {
    private let host = MemoryBlockHost()
    private let device: SecureDevice

    init() throws {
        device = try DeviceTesting.made(host, blocks: 60)
        for block in 0..<UInt64(60) { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
    }

    /// Direct I/O takes aligned memory only; callers need not know.
    @Test(arguments: [8, 16, 2048]) func buffersMayStartAnywhere(offset: Int) throws {
        let memory = AlignedBuffer(byteCount: 4 * blockBytes), expected = AlignedBuffer(byteCount: blockBytes)
        let buffer = memory.slice(offset, 3 * blockBytes)
        try device.read(LogicalBlock(10), into: buffer)
        for index in 0..<3 {
            DeviceTesting.fill(expected.bytes, UInt64(11 + index))
            #expect(
                UnsafeMutableRawBufferPointer(rebasing: buffer[index * blockBytes..<(index + 1) * blockBytes])
                    .elementsEqual(expected.bytes))
        }
        let place = try #require(try device.physicalLocation(of: LogicalBlock(11)))
        host.tamper { SalvageSubject.destroy(&$0, [place.rawValue]) }
        #expect(throws: DeviceError.unreadable(LogicalBlock(11), .tagMismatch(place))) {
            try device.read(LogicalBlock(10), into: buffer)
        }
        #expect(buffer.allSatisfy { $0 == 0 })
    }

    @Test func nothingIsReadForNothing() throws {
        let none = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        try device.read(LogicalBlock(60), into: none)
        try device.write(LogicalBlock(60), UnsafeRawBufferPointer(none))
        #expect(throws: DeviceError.self) { try device.read(LogicalBlock(61), into: none) }
        let image = try ImageSubject(blockCount: 3).open()
        try image.read(LogicalBlock(3), into: none)
        #expect(throws: DeviceError.outOfRange(LogicalBlock(4), count: 0)) {
            try image.read(LogicalBlock(4), into: none)
        }
    }

    @Test func whoMayWriteIsSaid() throws {
        #expect(!device.isReadOnly)
        try device.close()
        let reader = try DeviceTesting.open(MemoryBlockHost(contents: host.contents), mode: .readOnly)
        #expect(reader.isReadOnly)
        let image = try ImageSubject(blockCount: 3).open(), block = AlignedBuffer(byteCount: blockBytes)
        #expect(throws: DeviceError.readOnly) {
            try image.writeForCommit(LogicalBlock(0), UnsafeRawBufferPointer(block.bytes))
        }
    }

    /// A check that is not wanted any more ends, and has found nothing wrong with what it did not look at.
    @Test func anUnwantedCheckEnds() throws {
        let image = try ImageSubject(blockCount: 300).open()
        var asked = 0
        let verified = try image.check {
            asked += 1
            return asked < 3
        } report: {
            Issue.record("\($0)")
        }
        #expect(verified == 128)
    }

    /// A key can be changed between commits of the client only.
    @Test func aKeyWaitsForACommit() throws {
        try DeviceTesting.write(device, 5, 500)
        #expect(throws: KeySlotChangeError.uncommittedChanges) {
            try device.rotateVolumeKey(for: [DeviceTesting.keyFile()])
        }
        try device.commit().wait()
        _ = try device.rotateVolumeKey(for: [DeviceTesting.keyFile()])
        #expect(try DeviceTesting.holds(device, 5, 500))
        try device.close()
    }
}
