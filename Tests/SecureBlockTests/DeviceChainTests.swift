import SimHost
import Testing

@testable import SecureBlock

@Suite struct DeviceChainTests {
    /// Two sound headers that claim the same place in the chain, which only a bug of ours can make: refused, not guessed
    /// at (I3).
    @Test func twoSuccessorsAreRefused() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 40)
        let device = try DeviceTesting.open(host)
        try DeviceTesting.write(device, 1, 11)
        try device.commit().wait()
        let image = MemoryBlockHost(contents: host.contents)
        try device.close()

        let unlocked = try UnlockedVolume(image, credential: DeviceTesting.keyFile(), forWriting: false)
        let root = unlocked.newest, context = unlocked.context
        let reader = try ChainReader(context, from: root)
        let real = try #require(try reader.next())
        let stream = root.streams[Int(StreamID.clean.rawValue)]
        var second = RecordHeader(
            dataBlocks: 0, epoch: root.epoch, sequence: real.sequence, position: stream.position,
            generation: stream.generation, previousTag: root.commit.tag, flags: .commit, stream: .clean,
            durable: root.commit.sequence, next: stream.next, timeMilliseconds: 0, entries: [])
        let block = AlignedBuffer(byteCount: blockBytes)
        let place = context.geometry.physical(stream.position)
        let key = try #require(try context.epochs.key(root.epochIndex))
        try second.seal(into: block.bytes, at: place, key)
        var contents = image.contents
        contents.write(Int(place.rawValue) * blockBytes, UnsafeRawBufferPointer(block.bytes))
        #expect(throws: VolumeError.ambiguousChain(real.sequence)) {
            try DeviceTesting.open(MemoryBlockHost(contents: contents), mode: .readOnly)
        }
        // The same header one sequence on is no successor, and changes nothing.
        second.sequence = SequenceNumber(real.sequence.rawValue + 1)
        try second.seal(into: block.bytes, at: place, key)
        contents.write(Int(place.rawValue) * blockBytes, UnsafeRawBufferPointer(block.bytes))
        let sound = try DeviceTesting.open(MemoryBlockHost(contents: contents), mode: .readOnly)
        #expect(try DeviceTesting.holds(sound, 1, 11))
    }

    /// A record that the host does not give may be an acknowledged commit: the log does not end before it (I6). Nor does it
    /// where none is, as long as nobody could see that. Once everything reads again, everything is there.
    @Test(arguments: [OpenMode.readWrite, .readOnly]) func aReadErrorIsNoEnd(mode: OpenMode) throws {
        let original = MemoryBlockHost()
        let device = try DeviceTesting.made(original, blocks: 40)
        for block in 0..<UInt64(30) {
            try DeviceTesting.write(device, block, block + 1)
            try device.commit().wait()
        }
        let image = original.contents
        try device.close()

        let unlocked = try UnlockedVolume(
            MemoryBlockHost(contents: image), credential: DeviceTesting.keyFile(), forWriting: false)
        let reader = try ChainReader(unlocked.context, from: unlocked.newest)
        var segments: Set<UInt32> = []
        while let header = try reader.next() { segments.formUnion([header.position.segment, header.next.segment]) }
        try #require(segments.count > 3)
        let segmentBytes = UInt64(unlocked.context.geometry.segmentBlocks * blockBytes)
        for segment in segments.sorted() {
            let host = CrashHost(contents: image)
            let first = unlocked.context.geometry.physical(LogPosition(segment: segment, block: 0))
            let start = unlocked.context.offset(first)
            host.failReads(in: start..<start + segmentBytes, with: FailureWay.ioError)
            #expect(throws: VolumeError.host(FailureWay.ioError), "segment \(segment)") {
                try DeviceTesting.open(host, mode: mode)
            }
            host.clearFaults()
            let found = try DeviceTesting.open(host, mode: mode)
            for block in 0..<UInt64(30) { #expect(try DeviceTesting.holds(found, block, block + 1)) }
            try found.close()
        }
    }
}
