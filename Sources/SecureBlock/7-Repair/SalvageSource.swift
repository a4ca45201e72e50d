/// What can be had of a damaged volume before its log is read: the key, the geometry, and what roots are left.
struct SalvageSource {
    let host: any BlockHost
    let keys: VolumeKeys
    let suite: CipherSuite
    /// For as many segments as the store has room for; `logicalBlocks` is 0 unless a root says it.
    var geometry: Geometry
    /// Root slots that verify, newest first; none without a superblock, which they are bound to.
    let roots: [Root]
    let hasSuperblock: Bool

    /// - Parameter segmentBytes: the segment size, where no superblock says it and too few records are left to tell it; `nil` to
    ///   find it from them.
    /// - Throws: ``VolumeError`` where there is no key to be had, or nothing to read.
    init(_ host: any BlockHost, credential: Credential, segmentBytes: Int?) throws(VolumeError) {
        self.host = host
        let size: UInt64
        do { size = try host.byteCount() } catch { throw .host(error) }
        guard size > 0 else { throw .empty }
        let copies: SuperblockCopies?
        var failure = VolumeError.superblocksDamaged
        do throws(VolumeError) { copies = try SuperblockCopies(host) } catch {
            switch error {
            case .notAVolume, .superblocksDamaged: copies = nil
            default: throw error
            }
            failure = error
        }
        let named = copies?.sound.map(\.superblock.volume) ?? []
        let candidates = try Self.unlock(host, credential, named + Self.volumesOfKeySlots(host), failure)
        let chosen = try Self.choose(host, candidates, copies?.sound ?? [])
        keys = chosen.keys
        roots = chosen.roots
        let superblock = chosen.superblock
        hasSuperblock = superblock != nil
        let segmentBlocks: Int
        if let superblock {
            segmentBlocks = superblock.segmentBlocks
            suite = superblock.cipherSuite
        } else {
            let found = try Self.findFormat(host, keys, storeBlocks: size / UInt64(blockBytes))
            let sizes = found.sizes.filter { segmentBytes == nil || $0 * blockBytes == segmentBytes }
            guard let blocks = sizes.first else {
                let fitting = found.sizes.map { "\($0 * blockBytes)" }.joined(separator: ", ")
                throw .unsuitableOptions(
                    "segments of \(segmentBytes ?? 0) bytes: the records fit those of \(fitting)")
            }
            segmentBlocks = blocks
            suite = found.suite
        }
        let first = Layout.firstSegmentBlock(segmentBlocks: segmentBlocks)
        let blocks = min(size / UInt64(blockBytes), 1 << 40)
        let room = blocks > first ? (blocks - first) / UInt64(segmentBlocks) : 0
        let segments = roots.first.map { min(UInt64($0.segmentCount), room) } ?? min(room, Layout.maximumSegments)
        guard segments > 0 else {
            throw .truncated(
                expectedBytes: (first + UInt64(segmentBlocks)) * UInt64(blockBytes), foundBytes: size)
        }
        geometry = Geometry(
            segmentBlocks: segmentBlocks, segmentCount: UInt32(segments),
            logicalBlocks: roots.first?.logicalBlocks ?? 0)
    }

    /// Volume identifiers as key slots have them, the most frequent first.
    private static func volumesOfKeySlots(_ host: any BlockHost) -> [VolumeIdentifier] {
        var found: [(volume: VolumeIdentifier, count: Int)] = []
        let buffer = AlignedBuffer(byteCount: blockBytes)
        for slot in 0..<Layout.keySlotCount {
            do {
                try host.read(at: Layout.keySlot(slot) * UInt64(blockBytes), into: buffer.bytes)
                let volume = try KeySlot.parse(UnsafeRawBufferPointer(buffer.bytes), slot: slot).volume
                if let index = found.firstIndex(where: { $0.volume == volume }) {
                    found[index].count += 1
                } else {
                    found.append((volume, 1))
                }
            } catch {
                // A slot that cannot be read or is damaged says nothing; the others may.
                continue
            }
        }
        return found.sorted { $0.count > $1.count }.map(\.volume)
    }

    /// The key and superblock that the newest root goes with; where no root is left, those that an authenticator puts
    /// together; where no superblock is left either, the first key.
    private static func choose(
        _ host: any BlockHost, _ candidates: [VolumeKeys], _ copies: [SuperblockCopies.Copy]
    ) throws(VolumeError) -> (keys: VolumeKeys, superblock: Superblock?, roots: [Root]) {
        var best: (keys: VolumeKeys, superblock: Superblock?, roots: [Root]) = (candidates[0], nil, [])
        for keys in candidates {
            for copy in copies {
                let roots = try readRoots(host, keys, copy.superblock.cipherSuite, copy.digest)
                if let newest = roots.first, newest.number > best.roots.first?.number ?? 0 {
                    best = (keys, copy.superblock, roots)
                }
                do throws(SealError) {
                    if best.superblock == nil, try copy.isAuthentic(keys, version: keys.version) {
                        best = (keys, copy.superblock, [])
                    }
                } catch { throw .crypto("\(error)") }
            }
        }
        if let newest = best.roots.first {
            do throws(SealError) {
                guard try best.keys.adopt(version: newest.keyVersion, older: newest.olderKeys) else { return best }
            } catch { throw .crypto("\(error)") }
        }
        return best
    }

    /// Every volume key that the credential opens a slot for; at least one.
    private static func unlock(
        _ host: any BlockHost, _ credential: Credential, _ volumes: [VolumeIdentifier], _ failure: VolumeError
    ) throws(VolumeError) -> [VolumeKeys] {
        var tried: Set<VolumeIdentifier> = []
        var failure = failure
        for volume in volumes where tried.insert(volume).inserted {
            do throws(VolumeError) {
                var keyring = try Keyring(host, credential: credential, volume: volume)
                var found: [VolumeKeys] = []
                while let (_, volumeKey) = try keyring.next() {
                    do { found.append(try VolumeKeys(volumeKey: volumeKey, volume: volume)) } catch {
                        throw VolumeError.crypto("\(error)")
                    }
                }
                try keyring.requireFound()
                return found
            } catch { failure = error }
        }
        throw failure
    }

    private static func readRoots(
        _ host: any BlockHost, _ keys: VolumeKeys, _ suite: CipherSuite, _ digest: [UInt8]
    ) throws(VolumeError) -> [Root] {
        var roots: [Root] = []
        let buffer = AlignedBuffer(byteCount: blockBytes)
        for block in Layout.rootSlots {
            do {
                try host.read(at: block * UInt64(blockBytes), into: buffer.bytes)
                let bytes = UnsafeRawBufferPointer(buffer.bytes)
                guard let claim = Root.claim(bytes) else { continue }
                let key = try keys.rootKey(claim.epoch, suite)
                if let root = try Root.open(
                    bytes, number: claim.number, epoch: claim.epoch, key, volume: keys.volume,
                    superblockDigest: digest)
                {
                    roots.append(root)
                }
            } catch is HostError {
                continue
            } catch { throw .crypto("\(error)") }
        }
        return roots.sorted { $0.number > $1.number }
    }

    /// Records looked at before the segment size is taken as found.
    private static let votes = 16

    /// The segment sizes that place every record where it says it is, smallest first, one at least; and the suite that verifies
    /// them. A header verifies for its physical block alone, so it can be trusted before the size is known.
    private static func findFormat(
        _ host: any BlockHost, _ keys: VolumeKeys, storeBlocks: UInt64
    ) throws(VolumeError) -> (sizes: [Int], suite: CipherSuite) {
        var sizes = Layout.segmentBlocksLog2.map { 1 << Int($0) }
        var suites = CipherSuite.allCases
        var verified = 0
        let window = AlignedBuffer(byteCount: 256 * blockBytes), scratch = AlignedBuffer(byteCount: blockBytes)
        var start = Layout.firstFreeBlock
        while start < min(storeBlocks, 1 << 40), verified < votes || sizes.count > 1 {
            let count = min(256, storeBlocks - start)
            defer { start += count }
            do {
                try host.read(at: start * UInt64(blockBytes), into: window.slice(0, Int(count) * blockBytes))
            } catch {
                continue
            }
            for index in 0..<Int(count) {
                let block = UnsafeRawBufferPointer(window.slice(index * blockBytes, blockBytes))
                let place = PhysicalBlock(start + UInt64(index))
                guard let clear = ClearRecordHeader(block) else { continue }
                let fitting = sizes.filter { size in
                    Int(clear.position.block) < size
                        && Layout.firstSegmentBlock(segmentBlocks: size) + UInt64(clear.position.segment)
                            * UInt64(size) + UInt64(clear.position.block) == place.rawValue
                }
                guard !fitting.isEmpty else { continue }
                do throws(SealError) {
                    for suite in suites {
                        let key = try keys.rootKey(clear.epoch, suite)
                        guard try RecordHeader.open(block, clear, at: place, key, scratch: scratch.bytes) != nil
                        else {
                            continue
                        }
                        suites = [suite]
                        sizes = fitting
                        verified += 1
                        break
                    }
                } catch { throw .crypto("\(error)") }
            }
        }
        guard verified > 0, let suite = suites.first else { throw .superblocksDamaged }
        return (sizes, suite)
    }
}
