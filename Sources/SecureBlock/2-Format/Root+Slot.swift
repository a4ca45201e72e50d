extension Root {
    /// What a root slot's tag covers beside its clear bytes: binds the root to this volume and this superblock (I14).
    package static func associatedData(
        clear: UnsafeRawBufferPointer, volume: VolumeIdentifier, superblockDigest: [UInt8]
    ) -> [UInt8] {
        Array(clear) + volume.bytes + superblockDigest
    }

    /// The 4096 bytes of a root slot.
    package func seal(_ key: SealingKey, volume: VolumeIdentifier, superblockDigest: [UInt8]) throws(SealError)
        -> AlignedBuffer
    {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        var writer = ByteWriter(buffer.bytes)
        writer.u32(Self.magic)
        writer.u16(Self.version)
        writer.u16(0)
        writer.u64(number)
        writer.tag(epoch)
        writer.zeros(upTo: Self.payloadOffset)
        let payload = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[Self.payloadOffset...])
        var payloadWriter = ByteWriter(payload)
        write(to: &payloadWriter)
        guard let start = payload.baseAddress else { preconditionFailure("a root is a block") }
        let data = Self.associatedData(
            clear: UnsafeRawBufferPointer(rebasing: buffer.bytes[..<Self.clearBytes]), volume: volume,
            superblockDigest: superblockDigest)
        let tag = try data.withRawBytes { data throws(SealError) in
            try key.seal(
                UnsafeRawBufferPointer(payload), into: start, nonce: Self.nonce(number), associatedData: data)
        }
        tag.store(into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[Self.clearBytes..<Self.payloadOffset]))
        return buffer
    }

    /// The number takes a block's place in the nonce: 40 bits, one per slot write.
    static func nonce(_ number: UInt64) -> Nonce {
        Nonce(block: PhysicalBlock(number & 0xFF_FFFF_FFFF), generation: Generation(0), domain: SealDomain.root)
    }

    /// The epoch and number that a slot's clear bytes claim, `nil` where no root was ever written.
    package static func claim(_ block: UnsafeRawBufferPointer) -> (number: UInt64, epoch: Tag)? {
        do throws(ParseError) {
            var reader = ByteReader(block)
            guard try reader.u32() == magic, try reader.u16() == version else { return nil }
            try reader.zeros(2, field: "root slot")
            let number = try reader.u64()
            let epoch = try reader.tag()
            guard number >> 40 == 0 else { return nil }
            return (number, epoch)
        } catch { return nil }
    }

    /// Opens a root slot under the key of the epoch it claims.
    /// - Returns: `nil` when it does not verify.
    package static func open(
        _ block: UnsafeRawBufferPointer, number: UInt64, epoch: Tag, _ key: SealingKey, volume: VolumeIdentifier,
        superblockDigest: [UInt8]
    ) throws(SealError) -> Root? {
        precondition(block.count == blockBytes)
        let tag = Tag(loading: UnsafeRawBufferPointer(rebasing: block[clearBytes..<payloadOffset]))
        let plain = AlignedBuffer(byteCount: blockBytes)
        guard let output = plain.bytes.baseAddress else { preconditionFailure("a root is a block") }
        let data = associatedData(
            clear: UnsafeRawBufferPointer(rebasing: block[..<clearBytes]), volume: volume,
            superblockDigest: superblockDigest)
        let isAuthentic = try data.withRawBytes { data throws(SealError) in
            try key.open(
                UnsafeRawBufferPointer(rebasing: block[payloadOffset...]), into: output, nonce: nonce(number),
                associatedData: data, tag: tag)
        }
        guard isAuthentic else { return nil }
        do throws(ParseError) {
            let root = try Root(
                parsingPayload: UnsafeRawBufferPointer(rebasing: plain.bytes[..<payloadBytes]), number: number)
            return root.epoch == epoch ? root : nil
        } catch { return nil }
    }
}
