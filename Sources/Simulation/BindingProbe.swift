import SecureBlock

/// Whether sealed things open only as what they are (I14), and leave nothing behind when they do not (I15).
public enum BindingProbe {
    /// - Returns: what opens although it must not; empty when all is well.
    public static func run() throws -> [String] {
        let key = try SealingKey(
            key: [UInt8](repeating: 3, count: 32).withRawBytes { bytes throws(SealError) in
                try SecretBytes(copying: bytes)
            })
        return try blocks(key) + headers()
    }

    private static func blocks(_ key: SealingKey) throws(SealError) -> [String] {
        var wrong: [String] = []
        let plain = AlignedBuffer(byteCount: blockBytes), cipher = AlignedBuffer(byteCount: blockBytes)
        let output = AlignedBuffer(byteCount: blockBytes)
        guard let target = cipher.bytes.baseAddress, let start = output.bytes.baseAddress else { return [] }
        SwarmPattern.fill(plain.bytes, 1)
        let place = PhysicalBlock(300), generation = Generation(4)
        func nonce(_ block: PhysicalBlock, _ generation: Generation) -> Nonce {
            Nonce(block: block, generation: generation, domain: SealDomain.block)
        }
        func words(_ association: BlockAssociation) -> [UInt8] {
            withUnsafeBytes(of: association.words) { Array($0) }
        }
        let own = BlockAssociation(.mapPage, level: 1, address: 9)
        let tag = try words(own).withRawBytes { data throws(SealError) in
            try key.seal(
                UnsafeRawBufferPointer(plain.bytes), into: target, nonce: nonce(place, generation),
                associatedData: data)
        }
        let others: [(String, BlockAssociation, PhysicalBlock, Generation)] = [
            ("another address", BlockAssociation(.mapPage, level: 1, address: 8), place, generation),
            ("another level", BlockAssociation(.mapPage, level: 0, address: 9), place, generation),
            ("another kind", BlockAssociation(.tablePage, level: 1, address: 9), place, generation),
            ("another place", own, PhysicalBlock(301), generation),
            ("another generation", own, place, Generation(5)),
        ]
        for (name, association, block, generation) in others {
            let opens = try words(association).withRawBytes { data throws(SealError) in
                try key.open(
                    UnsafeRawBufferPointer(cipher.bytes), into: start, nonce: nonce(block, generation),
                    associatedData: data, tag: tag)
            }
            if opens { wrong.append("a block opens as \(name)") }
            if !opens, output.bytes.contains(where: { $0 != 0 }) { wrong.append("a failed opening left bytes") }
        }
        return wrong
    }

    /// Every header of a volume, with each of its clear fields changed.
    private static func headers() throws -> [String] {
        guard let store = SwarmMaterial.shared(16, key: SwarmWorld.credential).sameKey else { return ["no volume"] }
        let host = MemoryBlockHost(contents: store)
        let context = try UnlockedVolume(host, credential: try SwarmWorld.credential.get(), forWriting: false)
            .context
        let block = AlignedBuffer(byteCount: blockBytes), scratch = AlignedBuffer(byteCount: blockBytes)
        let bytes = UnsafeRawBufferPointer(block.bytes)
        var wrong: [String] = []
        var headers = 0
        for number in Int(context.geometry.firstSegmentBlock)..<store.byteCount / blockBytes {
            store.read(number * blockBytes, into: block.bytes)
            guard let clear = ClearRecordHeader(bytes), let index = context.epochs.index(of: clear.epoch),
                let key = try context.epochs.key(index)
            else { continue }
            let place = PhysicalBlock(UInt64(number))
            guard try RecordHeader.open(bytes, clear, at: place, key, scratch: scratch.bytes) != nil else {
                continue
            }
            headers += 1
            // Data blocks, sequence, segment, block, generation, previous tag.
            for offset in [6, 24, 32, 36, 40, 48] {
                block.bytes[offset] ^= 1
                if let changed = ClearRecordHeader(bytes),
                    try RecordHeader.open(bytes, changed, at: place, key, scratch: scratch.bytes) != nil
                {
                    wrong.append("a header opens with byte \(offset) changed")
                }
                block.bytes[offset] ^= 1
            }
        }
        return headers > 0 ? wrong : ["no header was found"]
    }
}
