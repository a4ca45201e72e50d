/// Finds which key slot, superblock and roots belong together. The newest root that verifies decides: a rotation of the
/// volume key that a crash interrupted leaves slots and roots of both keys (docs/FORMAT.md).
struct UnlockSearch {
    /// One volume key, and the slots that gave it.
    private struct Candidate {
        let volumeKey: SecretBytes
        let keys: VolumeKeys
        var slots: [Int]
    }

    private struct Found {
        var slot: UnlockedVolume.Slot
        var candidate: Int
        var copy: SuperblockCopies.Copy
    }

    let keys: VolumeKeys
    /// The key slot that opened the volume, and that the newest root names.
    let used: Int
    let superblock: Superblock
    let digest: [UInt8]
    /// Roots under that key, newest first.
    let slots: [UnlockedVolume.Slot]
    let damagedRoots: [Int]
    let damagedSuperblocks: [Int]
    /// Copies whose authenticator is still under an older volume key.
    let staleSuperblocks: [Int]

    init(
        _ host: any BlockHost, _ copies: SuperblockCopies, _ keyring: inout Keyring, storeBytes: UInt64
    ) throws(VolumeError) {
        let blocks = try Self.readRoots(host, storeBytes: storeBytes)
        var candidates: [Candidate] = []
        var found: [Found] = []
        while let (number, volumeKey) = try keyring.next() {
            if let known = candidates.firstIndex(where: { $0.volumeKey == volumeKey }) {
                candidates[known].slots.append(number)
            } else {
                let keys: VolumeKeys
                do throws(SealError) {
                    keys = try VolumeKeys(volumeKey: volumeKey, volume: copies.first.superblock.volume)
                } catch { throw .crypto("\(error)") }
                candidates.append(Candidate(volumeKey: volumeKey, keys: keys, slots: [number]))
                try Self.open(blocks, copies, keys, candidate: candidates.count - 1, &found)
                found.sort { $0.slot.root.number > $1.slot.root.number }
            }
            // Other slots of this kind are only worth their cost when a root is left that this key does not open.
            if let newest = found.first,
                found.count == blocks.count(where: { Root.claim(UnsafeRawBufferPointer($0.bytes)) != nil }),
                Self.bound(candidates[newest.candidate].slots, newest.slot.root, keyring) != nil
            {
                break
            }
        }
        try keyring.requireFound()
        guard let newest = found.first else {
            throw try Self.isAuthentic(copies, candidates.map(\.keys)) ? .rootsDamaged : .superblocksDamaged
        }
        let root = newest.slot.root, chosen = candidates[newest.candidate]
        guard let used = Self.bound(chosen.slots, root, keyring) else {
            throw .keySlotRevoked(chosen.slots[0])
        }
        let isAdopted: Bool
        do throws(SealError) {
            isAdopted = try chosen.keys.adopt(version: root.keyVersion, older: root.olderKeys)
            let judged = try copies.judged(digest: newest.copy.digest, chosen.keys)
            damagedSuperblocks = judged.damaged
            staleSuperblocks = judged.stale
        } catch { throw .crypto("\(error)") }
        guard isAdopted else {
            throw .corrupt("root \(root.number) keeps volume keys that are not sealed under its own")
        }
        keys = chosen.keys
        self.used = used
        superblock = newest.copy.superblock
        digest = newest.copy.digest
        slots = found.filter { $0.candidate == newest.candidate }.map(\.slot)
        damagedRoots = blocks.indices.filter { index in !found.contains { $0.slot.slot == index } }
    }

    private static func readRoots(_ host: any BlockHost, storeBytes: UInt64) throws(VolumeError) -> [AlignedBuffer]
    {
        var blocks: [AlignedBuffer] = []
        for block in Layout.rootSlots {
            let buffer = AlignedBuffer(byteCount: blockBytes)
            do throws(HostError) { try host.read(at: block * UInt64(blockBytes), into: buffer.bytes) } catch {
                guard case .beyondEnd(let offset) = error else { throw .host(error) }
                throw .truncated(expectedBytes: offset + UInt64(blockBytes), foundBytes: storeBytes)
            }
            blocks.append(buffer)
        }
        return blocks
    }

    /// Adds the roots that `keys` opens. A root binds the superblock, so it also says which copy is the right one.
    private static func open(
        _ blocks: [AlignedBuffer], _ copies: SuperblockCopies, _ keys: VolumeKeys, candidate: Int,
        _ found: inout [Found]
    ) throws(VolumeError) {
        for (index, block) in blocks.enumerated() where !found.contains(where: { $0.slot.slot == index }) {
            let bytes = UnsafeRawBufferPointer(block.bytes)
            guard let claim = Root.claim(bytes) else { continue }
            for copy in copies.sound where copy.superblock.volume == keys.volume {
                do throws(SealError) {
                    let key = try keys.rootKey(claim.epoch, copy.superblock.cipherSuite)
                    guard
                        let root = try Root.open(
                            bytes, number: claim.number, epoch: claim.epoch, key, volume: keys.volume,
                            superblockDigest: copy.digest)
                    else { continue }
                    found.append(
                        Found(
                            slot: UnlockedVolume.Slot(slot: index, root: root), candidate: candidate, copy: copy))
                    break
                } catch { throw .crypto("\(error)") }
            }
        }
    }

    private static func bound(_ slots: [Int], _ root: Root, _ keyring: Keyring) -> Int? {
        slots.first { root.keySlotDigests[$0] == keyring.digests[$0] || Sabotage.isOn(.slotDigestUnchecked) }
    }

    private static func isAuthentic(_ copies: SuperblockCopies, _ keys: [VolumeKeys]) throws(VolumeError) -> Bool {
        for keys in keys {
            for copy in copies.sound {
                do throws(SealError) {
                    if try copy.isAuthentic(keys, version: keys.version) { return true }
                } catch { throw .crypto("\(error)") }
            }
        }
        return false
    }
}
