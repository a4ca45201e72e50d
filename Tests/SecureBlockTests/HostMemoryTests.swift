import Testing

@testable import SecureBlock

@Suite struct HostMemoryTests {
    @Test func storesAndReadsBack() throws {
        let host = MemoryBlockHost()
        let bytes = AlignedBuffer(byteCount: 3 * blockBytes), back = AlignedBuffer(byteCount: 4 * blockBytes)
        bytes.bytes.initializeMemory(as: UInt8.self, repeating: 7)
        // Across a chunk border, leaving a hole before it.
        let offset = UInt64(SparseBytes.chunkBytes - blockBytes)
        try host.write(at: offset, UnsafeRawBufferPointer(bytes.bytes))
        #expect(try host.byteCount() == offset + UInt64(3 * blockBytes))
        try host.read(at: offset - UInt64(blockBytes), into: back.bytes)
        #expect(back.bytes.prefix(blockBytes).allSatisfy { $0 == 0 })
        #expect(back.bytes.dropFirst(blockBytes).allSatisfy { $0 == 7 })
        try host.punch(offset: offset, byteCount: UInt64(blockBytes))
        try host.read(at: offset - UInt64(blockBytes), into: back.bytes)
        #expect(back.bytes.prefix(2 * blockBytes).allSatisfy { $0 == 0 })
        #expect(back.bytes.dropFirst(2 * blockBytes).allSatisfy { $0 == 7 })
    }

    @Test func errors() throws {
        let host = MemoryBlockHost(capacityBytes: 8192)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        let bytes = UnsafeRawBufferPointer(buffer.bytes)
        try host.allocate(offset: 0, byteCount: 8192)
        #expect(throws: HostError.noSpace) { try host.allocate(offset: 4096, byteCount: 8192) }
        #expect(throws: HostError.noSpace) { try host.write(at: 8192, bytes) }
        #expect(throws: HostError.beyondEnd(offset: 8192)) { try host.read(at: 8192, into: buffer.bytes) }
        #expect(throws: HostError.beyondEnd(offset: .max)) { try host.read(at: .max, into: buffer.bytes) }
        #expect(throws: HostError.beyondEnd(offset: .max)) { try host.write(at: .max, bytes) }
        #expect(throws: HostError.beyondEnd(offset: .max)) { try host.allocate(offset: .max, byteCount: .max) }
        host.close()
        host.close()
        #expect(throws: HostError.closed) { try host.flush() }
        #expect(throws: HostError.closed) { try host.write(at: 0, bytes) }
    }

    @Test func copiesOfContentsAreIndependent() {
        var original = SparseBytes()
        original.write(0, [1, 2, 3])
        var copy = original
        copy.write(1, [9])
        var back = [UInt8](repeating: 0, count: 3)
        back.withMutableRawBytes { original.read(0, into: $0) }
        #expect(back == [1, 2, 3])
        copy.truncate(to: 2)
        copy.grow(to: 3)
        back.withMutableRawBytes { copy.read(0, into: $0) }
        #expect(back == [1, 9, 0])
    }
}
