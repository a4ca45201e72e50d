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
}
