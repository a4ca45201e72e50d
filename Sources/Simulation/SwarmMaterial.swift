import SecureBlock
import SimHost

/// Other volumes, to take pieces from: one that the same key opens, and one with another key.
struct SwarmMaterial: Sendable {
    var sameKey: SparseBytes?
    var otherKey: SparseBytes?

    private static let cache = Monitor<[Int: SwarmMaterial]>([:])

    static func shared(_ segmentBlocks: Int, key: Result<Credential, SealError>) -> SwarmMaterial {
        cache.withLock { cache in
            if let known = cache[segmentBlocks] { return known }
            let made = SwarmMaterial(
                sameKey: volume(segmentBlocks, key), otherKey: volume(segmentBlocks, SwarmWorld.secondCredential))
            cache[segmentBlocks] = made
            return made
        }
    }

    private static func volume(_ segmentBlocks: Int, _ key: Result<Credential, SealError>) -> SparseBytes? {
        let host = MemoryBlockHost()
        var options = VolumeOptions(logicalBytes: UInt64(48 * blockBytes))
        options.segmentBytes = segmentBlocks * blockBytes
        do {
            try SecureDevice.create(on: host, options, credential: try key.get())
            var inline = DeviceOptions()
            inline.maintenance = .inline
            let device = try SecureDevice.open(host, credential: try key.get(), options: inline)
            let buffer = AlignedBuffer(byteCount: blockBytes)
            for block: UInt64 in 0..<48 {
                SwarmPattern.fill(buffer.bytes, 1 << 40 + block)
                try device.write(LogicalBlock(block), UnsafeRawBufferPointer(buffer.bytes))
                if block % 5 == 0 { try device.commit().wait() }
            }
            try device.commit().wait()
            try device.close()
            return host.contents
        } catch { return nil }
    }
}
