extension SecureDevice {
    /// Writes an empty volume onto `host`; durable on return. The host stays open.
    ///
    /// - Parameters:
    ///   - host: an empty file or memory, or a block device whose first blocks are all zeros.
    ///   - scrypt: what a guess at the passphrase costs.
    ///   - anchor: an unused anchor; the volume then asks for it at every open.
    /// - Throws: ``VolumeError/notEmpty``, ``VolumeError/unsuitableOptions(_:)``, ``VolumeError/host(_:)``,
    ///   ``VolumeError/anchorUnavailable(_:)``.
    public static func create(
        on host: any BlockHost, _ options: VolumeOptions, credential: Credential, scrypt: ScryptCost = .standard,
        anchor: (any Anchor)? = nil
    ) throws(VolumeError) {
        let geometry = try plan(options)
        try checkEmpty(host, geometry)
        if let anchor { try checkUnused(anchor) }
        let clock = systemMilliseconds()
        do {
            let volumeKey = try SecretBytes.random(byteCount: 32)
            let volume = try VolumeIdentifier.random()
            let keys = try VolumeKeys(volumeKey: volumeKey, volume: volume)
            let superblock = Superblock(
                segmentBlocksLog2: UInt8(geometry.segmentBlocks.trailingZeroBitCount), cipherSuite: options.cipher,
                volume: volume, createdMilliseconds: clock)
            guard let superblockKey = try keys.superblockKey() else {
                preconditionFailure("the present key is held")
            }
            let stored = try superblock.serialise(key: superblockKey)
            let digest = Superblock.digest(UnsafeRawBufferPointer(stored.bytes))
            // The store gets its full size at once, so that a file cut short later is seen as such.
            let last = geometry.volumeBytes - UInt64(blockBytes)
            try host.allocate(offset: last, byteCount: UInt64(blockBytes))
            var digests: [Tag] = []
            for slot in 0..<Layout.keySlotCount {
                let bytes =
                    slot == 0
                    ? try KeySlot.wrap(
                        volumeKey: volumeKey, for: credential, slot: 0, volume: volume, scrypt: scrypt)
                    : try KeySlot.empty(slot: slot, volume: volume)
                digests.append(try keySlotDigest(bytes))
                try write(bytes, to: host, block: Layout.keySlot(slot))
            }
            let context = VolumeContext(
                host: host, superblock: superblock, superblockDigest: digest, keys: keys, geometry: geometry,
                epochs: EpochTable([], keys, options.cipher))
            var facts = OpenFacts()
            facts.keySlotDigests = digests
            var deviceOptions = DeviceOptions()
            deviceOptions.maintenance = .inline
            var state = RecoveredState(
                end: Root.Commit(sequence: SequenceNumber(0), tag: .zero),
                map: LogicalMap(logicalBlocks: geometry.logicalBlocks),
                table: SegmentTable(
                    count: Int(geometry.segmentCount), segmentBlocks: geometry.segmentBlocks),
                roots: (0..<2).map { _ in LogState.SlotContents(nothingBefore: SequenceNumber(0)) },
                rootCopy: nil, historyHorizon: SequenceNumber(0),
                sparePerMille: UInt32(options.sparePerMille), logBlocks: 0, anchored: nil,
                anchorPolicy: options.anchorPolicy ?? anchor?.preferredPolicy ?? .everyCommit)
            anchor?.use(try keys.anchorKeys())
            state.retention.policy = options.history
            _ = try begin(context, state, mode: .readWrite, options: deviceOptions, anchor: anchor, facts: facts)
            // The superblocks come last: before them, this is no volume.
            for block in Layout.superblocks {
                try host.write(at: block * UInt64(blockBytes), UnsafeRawBufferPointer(stored.bytes))
            }
            try host.flush()
        } catch let error as VolumeError {
            throw error
        } catch let error as HostError {
            throw .host(error)
        } catch let error as DeviceError {
            throw .device(error)
        } catch SealError.sealer(let error) {
            throw .sealer(slot: 0, error)
        } catch {
            throw .crypto("\(error)")
        }
    }

    private static func suitableSegmentBytes(_ logicalBytes: UInt64) -> Int {
        var bytes = 4 << 20
        while logicalBytes / UInt64(bytes) > 1 << 18, bytes < 64 << 20 { bytes *= 2 }
        return bytes
    }

    private static func plan(_ options: VolumeOptions) throws(VolumeError) -> Geometry {
        let segmentBytes = options.segmentBytes ?? suitableSegmentBytes(options.logicalBytes)
        let blocks = segmentBytes / blockBytes
        guard segmentBytes % blockBytes == 0, blocks > 0, blocks & (blocks - 1) == 0,
            Layout.segmentBlocksLog2.contains(UInt8(blocks.trailingZeroBitCount))
        else {
            throw .unsuitableOptions(
                "segments of \(segmentBytes) bytes: a power of two from 64 KiB to 64 MiB")
        }
        guard options.logicalBytes > 0, options.logicalBytes % UInt64(blockBytes) == 0 else {
            throw .unsuitableOptions("a size of \(options.logicalBytes) bytes: a multiple of \(blockBytes) above 0")
        }
        guard (0...Int(Layout.maximumSparePerMille)).contains(options.sparePerMille),
            let geometry = Geometry.planned(
                logicalBlocks: options.logicalBytes / UInt64(blockBytes), segmentBlocks: blocks,
                sparePerMille: options.sparePerMille)
        else {
            throw .unsuitableOptions(
                "a size of \(options.logicalBytes) bytes with segments of \(segmentBytes)")
        }
        return geometry
    }

    private static func checkEmpty(_ host: any BlockHost, _ geometry: Geometry) throws(VolumeError) {
        do {
            let size = try host.byteCount()
            guard size > 0 else { return }
            let head = min(size / UInt64(blockBytes), Layout.firstFreeBlock)
            let buffer = AlignedBuffer(byteCount: max(Int(head), 1) * blockBytes)
            guard head > 0 else { throw VolumeError.notEmpty }
            try host.read(at: 0, into: buffer.bytes)
            guard buffer.bytes.allSatisfy({ $0 == 0 }) else { throw VolumeError.notEmpty }
        } catch let error as VolumeError {
            throw error
        } catch let error as HostError {
            throw .host(error)
        } catch {
            throw .notEmpty
        }
    }

    private static func checkUnused(_ anchor: any Anchor) throws(VolumeError) {
        let found: AnchorValue?
        do throws(AnchorError) { found = try anchor.load() } catch { throw VolumeError(error) }
        guard found == nil else { throw .anchorUnavailable("\(anchor) is in use by another volume") }
    }

    static func keySlotDigest(_ bytes: [UInt8]) throws(SealError) -> Tag {
        let digest = try Digest.sha256(bytes)
        return digest.withUnsafeBytes { Tag(loading: $0) }
    }

    private static func write(_ bytes: [UInt8], to host: any BlockHost, block: UInt64) throws(HostError) {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        buffer.bytes.copyBytes(from: bytes)
        try host.write(at: block * UInt64(blockBytes), UnsafeRawBufferPointer(buffer.bytes))
    }
}
