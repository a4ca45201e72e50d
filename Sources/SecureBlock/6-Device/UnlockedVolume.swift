/// A volume whose superblock, key slots and roots have been read and verified: the first half of every open.
package struct UnlockedVolume {
    /// A root slot that verifies.
    package struct Slot: Sendable {
        package var slot: Int
        package var root: Root
    }

    package let context: VolumeContext
    /// The root slots that verify, newest first; at least one.
    package let slots: [Slot]
    package let snapshots: [SnapshotEntry]
    let facts: OpenFacts

    package var newest: Root { slots[0].root }

    /// - Throws: what ``SecureDevice/open(_:credential:anchor:mode:options:)`` says of superblocks, keys and roots.
    package init(_ host: any BlockHost, credential: Credential, forWriting: Bool) throws(VolumeError) {
        var facts = OpenFacts()
        let size: UInt64
        do { size = try host.byteCount() } catch { throw .host(error) }
        guard size > 0 else { throw .empty }
        let copies = try SuperblockCopies(host)
        var keyring = try Keyring(host, credential: credential, volume: copies.first.superblock.volume)
        let found = try UnlockSearch(host, copies, &keyring, storeBytes: size)
        let keys = found.keys
        slots = found.slots
        let newest = found.slots[0].root
        facts.keySlots = keyring.status(boundBy: newest)
        facts.keySlotDigests = keyring.digests
        facts.damagedKeySlots = keyring.damaged.sorted()
        facts.usedKeySlot = found.used
        facts.damagedSuperblocks = found.damagedSuperblocks
        facts.staleSuperblocks = found.staleSuperblocks
        facts.damagedRoots = found.damagedRoots
        if forWriting {
            let unknown = found.superblock.readOnlyCompatible & ~Superblock.knownReadOnlyCompatible
            guard unknown == 0 else { throw .unknownFeatures(incompatible: 0, readOnlyCompatible: unknown) }
        }
        let geometry = try Self.geometry(newest, found.superblock, storeBytes: size)
        let epochs = try Self.readEpochs(newest, host, keys, found.superblock.cipherSuite, geometry)
        context = VolumeContext(
            host: host, superblock: found.superblock, superblockDigest: found.digest, keys: keys,
            geometry: geometry, epochs: EpochTable(epochs, keys, found.superblock.cipherSuite))
        guard let index = context.epochs.index(of: newest.epoch), index == newest.epochIndex else {
            throw .corrupt("root \(newest.number) names an epoch that its table does not have")
        }
        snapshots = try Self.readSnapshots(newest, context)
        self.facts = facts
    }

    private static func geometry(_ newest: Root, _ superblock: Superblock, storeBytes: UInt64)
        throws(VolumeError) -> Geometry
    {
        let geometry = Geometry(
            segmentBlocks: superblock.segmentBlocks, segmentCount: newest.segmentCount,
            logicalBlocks: newest.logicalBlocks)
        let end = geometry.firstSegmentBlock + UInt64(geometry.segmentCount) * UInt64(geometry.segmentBlocks)
        guard end >> 40 == 0, newest.logicalBlocks <= end else {
            throw .corrupt("root \(newest.number) describes a volume of impossible size")
        }
        guard geometry.volumeBytes <= storeBytes else {
            throw .truncated(expectedBytes: geometry.volumeBytes, foundBytes: storeBytes)
        }
        return geometry
    }

    /// The snapshots that `root` lists.
    static func readSnapshots(_ root: Root, _ context: VolumeContext) throws(VolumeError) -> [SnapshotEntry] {
        var pages: [AlignedBuffer] = []
        for (index, pointer) in root.snapshotPages.enumerated() {
            pages.append(try context.page(pointer, BlockAssociation(.snapshotPage, address: UInt64(index))))
        }
        do { return try SnapshotEntry.parse(pages) } catch { throw .corrupt("snapshot list: \(error)") }
    }

    /// The epoch table. Its pages are written anew in every epoch, so the root's own key opens them.
    private static func readEpochs(
        _ root: Root, _ host: any BlockHost, _ keys: VolumeKeys, _ suite: CipherSuite, _ geometry: Geometry
    ) throws(VolumeError) -> [Epoch] {
        var pages: [AlignedBuffer] = []
        do {
            let key = try keys.rootKey(root.epoch, suite)
            for (index, pointer) in root.epochPages.enumerated() {
                let buffer = AlignedBuffer(byteCount: blockBytes)
                guard geometry.position(pointer.block) != nil, let start = buffer.bytes.baseAddress else {
                    throw VolumeError.corrupt("epoch page \(index) lies in no segment")
                }
                try host.read(at: pointer.block.rawValue * UInt64(blockBytes), into: buffer.bytes)
                guard
                    try key.open(
                        UnsafeRawBufferPointer(buffer.bytes), into: start, at: pointer.block, pointer.generation,
                        as: BlockAssociation(.epochPage, address: UInt64(index)), tag: pointer.tag)
                else {
                    throw VolumeError.corrupt("epoch page \(index) does not verify at \(pointer.block)")
                }
                pages.append(buffer)
            }
            return try EpochTable.parse(pages)
        } catch let error as VolumeError {
            throw error
        } catch let error as HostError {
            throw .host(error)
        } catch let error as ParseError {
            throw .corrupt("epoch table: \(error)")
        } catch { throw .crypto("\(error)") }
    }
}
