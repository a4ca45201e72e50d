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
        let keyring = try Keyring(host, credential: credential, volume: copies.first.superblock.volume)
        facts.keySlots = keyring.status
        facts.keySlotDigests = keyring.digests
        facts.damagedKeySlots = keyring.damaged
        facts.usedKeySlot = keyring.used
        let keys: VolumeKeys
        do {
            keys = try VolumeKeys(volumeKey: keyring.volumeKey, volume: copies.first.superblock.volume)
        } catch { throw .crypto("\(error)") }
        let chosen = try copies.authentic(keys)
        facts.damagedSuperblocks = chosen.damaged
        if forWriting {
            let unknown = chosen.superblock.readOnlyCompatible & ~Superblock.knownReadOnlyCompatible
            guard unknown == 0 else { throw .unknownFeatures(incompatible: 0, readOnlyCompatible: unknown) }
        }
        let roots = try Self.readRoots(
            host, keys, superblock: chosen.superblock, digest: chosen.digest, storeBytes: size)
        facts.damagedRoots = roots.damaged
        slots = roots.slots
        let newest = roots.slots[0].root
        let geometry = Geometry(
            segmentBlocks: chosen.superblock.segmentBlocks, segmentCount: newest.segmentCount,
            logicalBlocks: newest.logicalBlocks)
        guard newest.keySlotDigests[keyring.used] == keyring.digests[keyring.used] else {
            throw .corrupt("key slot \(keyring.used) is not the one that this volume was last written with")
        }
        let epochs = try Self.readEpochs(newest, host, keys, chosen.superblock.cipherSuite, geometry)
        context = VolumeContext(
            host: host, superblock: chosen.superblock, superblockDigest: chosen.digest, keys: keys,
            geometry: geometry, epochs: EpochTable(epochs, keys, chosen.superblock.cipherSuite))
        guard let index = context.epochs.index(of: newest.epoch), index == newest.epochIndex else {
            throw .corrupt("root \(newest.number) names an epoch that its table does not have")
        }
        snapshots = try Self.readSnapshots(newest, context)
        self.facts = facts
    }

    private static func readRoots(
        _ host: any BlockHost, _ keys: VolumeKeys, superblock: Superblock, digest: [UInt8], storeBytes: UInt64
    ) throws(VolumeError) -> (slots: [Slot], damaged: [Int]) {
        var slots: [Slot] = []
        var damaged: [Int] = []
        for slot in Layout.rootSlots.indices {
            let buffer = AlignedBuffer(byteCount: blockBytes)
            do throws(HostError) {
                try host.read(at: Layout.rootSlots[slot] * UInt64(blockBytes), into: buffer.bytes)
            } catch {
                guard case .beyondEnd(let offset) = error else { throw .host(error) }
                throw .truncated(expectedBytes: offset + UInt64(blockBytes), foundBytes: storeBytes)
            }
            let bytes = UnsafeRawBufferPointer(buffer.bytes)
            guard let claim = Root.claim(bytes) else {
                damaged.append(slot)
                continue
            }
            do {
                let key = try keys.epochKey(Epoch(identifier: claim.epoch), superblock.cipherSuite)
                if let root = try Root.open(
                    bytes, number: claim.number, epoch: claim.epoch, key, volume: keys.volume,
                    superblockDigest: digest)
                {
                    slots.append(Slot(slot: slot, root: root))
                } else {
                    damaged.append(slot)
                }
            } catch { throw .crypto("\(error)") }
        }
        slots.sort { $0.root.number > $1.root.number }
        guard let newest = slots.first?.root else { throw .rootsDamaged }
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
        return (slots, damaged)
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
            let key = try keys.epochKey(Epoch(identifier: root.epoch), suite)
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
