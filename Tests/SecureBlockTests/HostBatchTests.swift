import Testing

@testable import SecureBlock

/// Reads that tell of each buffer, and durable writes that wait for somebody to want them.
@Suite struct HostBatchTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private func filled(_ byteCount: Int, _ value: UInt64) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: byteCount)
        DeviceTesting.fill(buffer.bytes, value)
        return buffer
    }

    /// More reads than the ring is deep: each is told once, and is full when it is.
    @Test(arguments: HostFileTests.ways) func everyBufferIsToldOnceAndFull(options: FileHostOptions) throws {
        let host = try FileBlockHost.create(path: scratch.file("volume"), options)
        defer { host.close() }
        let count = 200
        let written = (0..<count).map { filled(blockBytes, UInt64($0) + 1) }
        for (index, buffer) in written.enumerated() {
            try host.write(at: UInt64(index * blockBytes), UnsafeRawBufferPointer(buffer.bytes))
        }
        let read = (0..<count).map { _ in AlignedBuffer(byteCount: blockBytes) }
        var told = [Int](repeating: 0, count: count)
        // Backwards, so that nothing is merged into one transfer.
        let batch = (0..<count).map {
            HostRead(offset: UInt64((count - 1 - $0) * blockBytes), buffer: read[$0].bytes)
        }
        try host.read(batch) { index in
            told[index] += 1
            #expect(read[index].isSame(as: written[count - 1 - index]))
        }
        #expect(told.allSatisfy { $0 == 1 })
    }

    /// One of a batch lies behind the end: an error, whatever the others did.
    @Test(arguments: HostFileTests.ways) func aBatchWithOneFailureFails(options: FileHostOptions) throws {
        let host = try FileBlockHost.create(path: scratch.file("volume"), options)
        defer { host.close() }
        try host.write(at: 0, UnsafeRawBufferPointer(filled(4 * blockBytes, 5).bytes))
        let read = (0..<3).map { _ in AlignedBuffer(byteCount: blockBytes) }
        let batch = [0, 9, 1].enumerated().map {
            HostRead(offset: UInt64($1 * blockBytes), buffer: read[$0].bytes)
        }
        var told: [Int] = []
        withExtendedLifetime(read) {
            _ = #expect(throws: HostError.beyondEnd(offset: UInt64(9 * blockBytes))) {
                try host.read(batch) { told.append($0) }
            }
        }
        #expect(!told.contains(1))
    }

    /// A durable write that nobody waits for is made when another is begun, and at the latest when the host closes.
    @Test(arguments: HostFileTests.ways) func durableWritesNeedNobodyWaiting(options: FileHostOptions) throws {
        let path = scratch.file("volume")
        let host = try FileBlockHost.create(path: path, options)
        let buffers = (0..<4).map { filled(2 * blockBytes, UInt64($0) + 20) }
        let writes = buffers.enumerated().map { index, buffer in
            host.beginWrite(
                at: UInt64(index * 2 * blockBytes), UnsafeRawBufferPointer(buffer.bytes), durable: index != 2)
        }
        // In any order, and again.
        for index in [2, 0, 2, 1] { try writes[index].wait() }
        host.close()
        let isLastComplete = writes[3].isComplete
        #expect(isLastComplete)
        let again = try FileBlockHost.open(path: path)
        defer { again.close() }
        for (index, buffer) in buffers.enumerated() {
            let back = AlignedBuffer(byteCount: 2 * blockBytes)
            try again.read(at: UInt64(index * 2 * blockBytes), into: back.bytes)
            #expect(back.isSame(as: buffer), "write \(index)")
        }
    }
}
