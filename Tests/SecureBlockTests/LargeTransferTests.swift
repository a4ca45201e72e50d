import Testing

@testable import SecureBlock

/// Writes that several threads seal, and reads longer than the buffer that they come through.
@Suite struct LargeTransferTests {
    private static let blocks: UInt64 = 1400

    private func device(_ host: any BlockHost) throws -> SecureDevice {
        try DeviceTesting.made(host, blocks: Self.blocks, segmentBlocks: 256)
    }

    /// Each word tells which block it is of, and which pass wrote it.
    private func fill(_ buffer: AlignedBuffer, first: UInt64, pass: UInt64) {
        for word in 0..<buffer.bytes.count / 8 {
            buffer.bytes.storeBytes(
                of: (first + UInt64(word / 512)) << 32 | pass << 16 | UInt64(word % 512), toByteOffset: word * 8,
                as: UInt64.self)
        }
    }

    @Test(arguments: [1, 47, 48, 128, 165, 166, 500, 1400]) func whatIsWrittenInPiecesIsReadWhole(_ piece: Int)
        throws
    {
        let device = try device(MemoryBlockHost())
        let expected = AlignedBuffer(byteCount: Int(Self.blocks) * blockBytes)
        for pass in 1...2 as ClosedRange<UInt64> {
            fill(expected, first: 0, pass: pass)
            for start in stride(from: 0, to: Int(Self.blocks), by: piece) {
                let count = min(piece, Int(Self.blocks) - start)
                try device.write(
                    LogicalBlock(UInt64(start)),
                    UnsafeRawBufferPointer(expected.slice(start * blockBytes, count * blockBytes)))
            }
            try device.commit().wait()
            try device.checkInvariants()
            for count in [Int(Self.blocks), 512, 300, 9, 8, 7] {
                let found = AlignedBuffer(byteCount: count * blockBytes)
                let start = Int(Self.blocks) - count
                try device.read(LogicalBlock(UInt64(start)), into: found.bytes)
                #expect(found.bytes.elementsEqual(expected.slice(start * blockBytes, count * blockBytes)))
            }
        }
        try device.close()
    }

    /// The first bad block is named, wherever it came through, and nothing of the range is left to the caller.
    @Test(arguments: [0, 3, 511, 512, 700, 1399] as [UInt64]) func aChangedBlockIsFound(_ bad: UInt64) throws {
        let host = MemoryBlockHost()
        let device = try device(host)
        let bytes = AlignedBuffer(byteCount: Int(Self.blocks) * blockBytes)
        fill(bytes, first: 0, pass: 1)
        try device.write(LogicalBlock(0), UnsafeRawBufferPointer(bytes.bytes))
        try device.commit().wait()
        let place = try #require(try device.physicalLocation(of: LogicalBlock(bad)))
        let block = AlignedBuffer(byteCount: blockBytes)
        let offset = place.rawValue * UInt64(blockBytes)
        try host.read(at: offset, into: block.bytes)
        block.bytes[17] ^= 4
        try host.write(at: offset, UnsafeRawBufferPointer(block.bytes))
        #expect(throws: DeviceError.unreadable(LogicalBlock(bad), .tagMismatch(place))) {
            try device.read(LogicalBlock(0), into: bytes.bytes)
        }
        #expect(bytes.bytes.allSatisfy { $0 == 0 })
        try device.close()
    }

    @Test func buffersOfAShelfDoNotOverlap() {
        var shelf = LargeBufferShelf()
        let sizes = [
            166 * blockBytes, 166 * blockBytes, 166 * blockBytes, 166 * blockBytes, 2 << 20, 4 << 20, 4096,
        ]
        let buffers = sizes.map { shelf.buffer(byteCount: $0) }
        for (buffer, size) in zip(buffers, sizes) {
            #expect(buffer.bytes.count == size)
            #expect(buffer.bytes.allSatisfy { $0 == 0 })
            #expect(UInt(bitPattern: buffer.bytes.baseAddress) % UInt(blockBytes) == 0)
        }
        for (index, buffer) in buffers.enumerated() {
            buffer.bytes.initializeMemory(as: UInt8.self, repeating: UInt8(index + 1))
        }
        for (index, buffer) in buffers.enumerated() {
            #expect(buffer.bytes.allSatisfy { $0 == UInt8(index + 1) }, "buffer \(index)")
        }
    }
}
