import Testing

@testable import SecureBlock

/// The largest volumes, on a host that keeps only what was written.
@Suite struct DeviceTerabyteTests {
    /// Opening reads the segment table and little else, however large the volume and however spread its data.
    @Test(arguments: [1, 16] as [UInt64])
    func opensWithoutReadingTheMap(terabytes: UInt64) throws {
        let host = ScatteredHost()
        let options = VolumeOptions(logicalBytes: terabytes << 40)
        try SecureDevice.create(on: host, options, credential: DeviceTesting.keyFile())
        let blocks = options.logicalBytes / UInt64(blockBytes)
        // One block in each of many leaves, all over the device.
        let count: UInt64 = 3000
        let device = try DeviceTesting.open(host)
        #expect(device.context.geometry.segmentCount < 400_000)
        for index in 0..<count {
            try DeviceTesting.writeWithCommits(device, index * (blocks / count), index + 1)
        }
        try device.discard(LogicalBlock(1), count: blocks / count * 10)
        try device.commit().wait()
        try device.close()
        host.counted.change { $0 = 0 }
        let again = try DeviceTesting.open(host)
        let bytes = host.counted.withLock { $0 }
        #expect(bytes < 64 << 20, "\(bytes) bytes read")
        #expect(again.monitor.locked { again.map.residentPages } < 16)
        for index in stride(from: 0, to: count, by: 7) {
            let value = (1...10).contains(index) ? 0 : index + 1
            #expect(try DeviceTesting.holds(again, index * (blocks / count), value))
        }
        try again.checkInvariants()
        try again.close()
    }
}

/// A host whose store is as large as it is asked to be and keeps 4 KiB blocks by number.
final class ScatteredHost: BlockHost {
    private struct State {
        var blocks: [UInt64: [UInt8]] = [:]
        var byteCount: UInt64 = 0
    }
    private let state = Monitor(State())
    /// Bytes read.
    let counted = Monitor<UInt64>(0)

    var transport: String { "memory, scattered" }
    func byteCount() throws(HostError) -> UInt64 { state.withLock { $0.byteCount } }

    func read(_ batch: [HostRead]) throws(HostError) {
        for read in batch {
            counted.change { $0 += UInt64(read.buffer.count) }
            let isWithin = state.withLock { state in
                for start in stride(from: 0, to: read.buffer.count, by: blockBytes) {
                    let target = UnsafeMutableRawBufferPointer(rebasing: read.buffer[start..<start + blockBytes])
                    if let block = state.blocks[(read.offset + UInt64(start)) / UInt64(blockBytes)] {
                        target.copyBytes(from: block)
                    } else {
                        target.initializeMemory(as: UInt8.self, repeating: 0)
                    }
                }
                return read.offset + UInt64(read.buffer.count) <= state.byteCount
            }
            guard isWithin else { throw .beyondEnd(offset: read.offset) }
        }
    }

    func beginWrite(at offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        state.withLock { state in
            for start in stride(from: 0, to: bytes.count, by: blockBytes) {
                state.blocks[(offset + UInt64(start)) / UInt64(blockBytes)] =
                    [UInt8](bytes[start..<start + blockBytes])
            }
            state.byteCount = max(state.byteCount, offset + UInt64(bytes.count))
        }
        return .completed()
    }

    func flush() throws(HostError) {}
    func allocate(offset: UInt64, byteCount: UInt64) throws(HostError) {
        state.withLock { $0.byteCount = max($0.byteCount, offset + byteCount) }
    }
    func punch(offset: UInt64, byteCount: UInt64) throws(HostError) {}
    func close() {}
}
