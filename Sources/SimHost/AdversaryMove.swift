import SecureBlock

/// What the owner of a store does to it between two openings: everything that can be done without a key.
public enum AdversaryMove: String, CaseIterable, Sendable, Hashable {
    /// The whole store as it was earlier.
    case rollback
    /// Every block from one of two times.
    case mixBlocks
    /// Every segment from one of two times.
    case mixSegments
    /// Everything before some block from one time, the rest from another.
    case mixHalves
    /// Two blocks exchanged.
    case swapBlocks
    /// Two ranges of a few blocks exchanged: records, when they hit.
    case swapRanges
    /// Two whole segments exchanged.
    case swapSegments
    /// A range put back to an earlier time: old records and segments.
    case replayRange
    /// A range from another volume that the same key opens.
    case spliceSameKey
    /// A range from another volume.
    case spliceOtherKey
    /// A segment zeroed from some block on: the log cut there.
    case cutLog
    /// One block zeroed.
    case zeroBlock
    /// One superblock zeroed, or both.
    case removeSuperblock
    /// One root slot zeroed, or both.
    case removeRoot
    /// The root slots exchanged.
    case swapRoots
    /// One root slot copied over the other.
    case copyRoot
    /// One root slot from an earlier time.
    case replayRoot
    /// Key slots from an earlier time, exchanged or zeroed.
    case changeKeySlots
    /// An extreme number in a field of some structure, and its checksum made to fit where there is one.
    case hostileField
    /// A few bits flipped.
    case flipBits
    /// The store cut short.
    case truncate
    /// The store made longer.
    case extend
}

/// Other stores that an adversary takes pieces from.
package struct AdversaryMaterial: Sendable {
    /// The same volume at earlier times.
    package var earlier: [SparseBytes]
    /// Another volume that the same key opens.
    package var sameKey: SparseBytes?
    package var otherKey: SparseBytes?
    package var segmentBlocks: Int

    package init(earlier: [SparseBytes], sameKey: SparseBytes?, otherKey: SparseBytes?, segmentBlocks: Int) {
        self.earlier = earlier
        self.sameKey = sameKey
        self.otherKey = otherKey
        self.segmentBlocks = segmentBlocks
    }
}

extension AdversaryMove {
    /// Carries the move out.
    /// - Returns: `false` when there was nothing to do it with.
    package func apply(
        to store: inout SparseBytes, _ material: AdversaryMaterial, _ random: inout SimRandom
    ) -> Bool {
        var board = Board(store: store, material: material, random: random)
        let done = board.play(self)
        store = board.store
        random = board.random
        return done
    }
}

private struct Board {
    var store: SparseBytes
    let material: AdversaryMaterial
    var random: SimRandom

    var blockCount: Int { store.byteCount / blockBytes }
    var firstSegment: Int { Int(Layout.firstSegmentBlock(segmentBlocks: material.segmentBlocks)) }
    var segmentCount: Int { max(0, (blockCount - firstSegment) / material.segmentBlocks) }

    mutating func pick(_ count: Int) -> Int { count > 1 ? Int(random.next() % UInt64(count)) : 0 }

    mutating func play(_ move: AdversaryMove) -> Bool {
        guard blockCount > firstSegment else { return false }
        switch move {
        case .rollback:
            guard let old = anyEarlier() else { return false }
            store = old
        case .mixBlocks, .mixSegments, .mixHalves:
            guard let old = anyEarlier() else { return false }
            mix(old, move)
        case .swapBlocks: swap(pick(blockCount), pick(blockCount), count: 1)
        case .swapRanges:
            let count = 1 + pick(6), end = blockCount - count
            swap(firstSegment + pick(end - firstSegment), firstSegment + pick(end - firstSegment), count: count)
        case .swapSegments:
            swap(segment(pick(segmentCount)), segment(pick(segmentCount)), count: material.segmentBlocks)
        case .replayRange:
            guard let old = anyEarlier() else { return false }
            copyRange(from: old)
        case .spliceSameKey:
            guard let other = material.sameKey else { return false }
            copyRange(from: other)
        case .spliceOtherKey:
            guard let other = material.otherKey else { return false }
            copyRange(from: other)
        case .cutLog:
            let first = segment(pick(segmentCount)), from = pick(material.segmentBlocks)
            zero(first + from, count: material.segmentBlocks - from)
        case .zeroBlock: zero(pick(blockCount), count: 1)
        case .removeSuperblock: removeOneOrBoth(Layout.superblocks)
        case .removeRoot: removeOneOrBoth(Layout.rootSlots)
        case .swapRoots: swap(Int(Layout.rootSlots[0]), Int(Layout.rootSlots[1]), count: 1)
        case .copyRoot:
            let from = pick(2)
            put(block(Int(Layout.rootSlots[from]), of: store), at: Int(Layout.rootSlots[1 - from]))
        case .replayRoot:
            guard let old = anyEarlier() else { return false }
            let slot = Int(Layout.rootSlots[pick(2)])
            put(block(slot, of: old), at: slot)
        case .changeKeySlots: return changeKeySlots()
        case .hostileField: makeHostileField()
        case .flipBits:
            for _ in 0...pick(4) { flip(pick(store.byteCount)) }
        case .truncate: store.truncate(to: pick(store.byteCount))
        case .extend: store.grow(to: store.byteCount + (1 + pick(64)) * blockBytes)
        }
        return true
    }

    private mutating func anyEarlier() -> SparseBytes? {
        material.earlier.isEmpty ? nil : material.earlier[pick(material.earlier.count)]
    }

    private func segment(_ number: Int) -> Int { firstSegment + number * material.segmentBlocks }

    private mutating func mix(_ old: SparseBytes, _ move: AdversaryMove) {
        let cut = pick(blockCount)
        var takesOld = false
        for number in 0..<min(blockCount, old.byteCount / blockBytes) {
            switch move {
            case .mixHalves: takesOld = number < cut
            case .mixSegments where number % material.segmentBlocks != 0: break
            default: takesOld = random.next() & 1 == 0
            }
            if takesOld { put(block(number, of: old), at: number) }
        }
    }

    private mutating func copyRange(from other: SparseBytes) {
        let choices = [1, 2, 5, material.segmentBlocks, 4 * material.segmentBlocks]
        let count = choices[pick(choices.count)]
        var first = pick(blockCount)
        if count >= material.segmentBlocks { first = first / count * count }
        let end = min(first + count, blockCount, other.byteCount / blockBytes)
        for number in first..<max(first, end) { put(block(number, of: other), at: number) }
    }

    private mutating func removeOneOrBoth(_ blocks: [UInt64]) {
        let which = pick(3)
        for (index, number) in blocks.enumerated() where which == index || which == 2 {
            zero(Int(number), count: 1)
        }
    }

    private mutating func changeKeySlots() -> Bool {
        let first = Int(Layout.keySlot(pick(Layout.keySlotCount)))
        let second = Int(Layout.keySlot(pick(Layout.keySlotCount)))
        switch pick(3) {
        case 0: swap(first, second, count: 1)
        case 1: zero(first, count: 1)
        default:
            guard let old = anyEarlier() else { return false }
            put(block(first, of: old), at: first)
        }
        return true
    }

    private mutating func makeHostileField() {
        let fixed = Layout.superblocks + Layout.rootSlots + (0..<Layout.keySlotCount).map(Layout.keySlot)
        // Structures with checksums as often as blocks of the log.
        let number = random.next() & 1 == 0 ? Int(fixed[pick(fixed.count)]) : pick(blockCount)
        var bytes = block(number, of: store)
        let width = [1, 2, 4, 8][pick(4)]
        let offset = pick((random.next() & 1 == 0 ? 256 : blockBytes) / width) * width
        let extremes: [UInt64] = [
            0, 1, .max, .max >> 1, 1 << 63, 0xFFFF_FFFF, 1 << 32, 1 << 40, UInt64(blockBytes),
        ]
        let value = extremes[pick(extremes.count)]
        for index in 0..<width { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
        bytes.reseal(block: UInt64(number))
        put(bytes, at: number)
    }

    private mutating func flip(_ offset: Int) {
        var byte: [UInt8] = [0]
        byte.withMutableRawBytes { store.read(offset, into: $0) }
        byte[0] ^= 1 << UInt8(pick(8))
        store.write(offset, byte)
    }

    private mutating func swap(_ first: Int, _ second: Int, count: Int) {
        for index in 0..<count where max(first, second) + index < blockCount {
            let a = block(first + index, of: store), b = block(second + index, of: store)
            put(b, at: first + index)
            put(a, at: second + index)
        }
    }

    private mutating func zero(_ first: Int, count: Int) {
        store.erase(first * blockBytes..<(first + count) * blockBytes)
    }

    private mutating func put(_ bytes: [UInt8], at number: Int) { store.write(number * blockBytes, bytes) }

    private func block(_ number: Int, of store: SparseBytes) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: blockBytes)
        guard (number + 1) * blockBytes <= store.byteCount else { return bytes }
        bytes.withMutableRawBytes { store.read(number * blockBytes, into: $0) }
        return bytes
    }
}

extension [UInt8] {
    /// Makes the checksums fit that anybody can compute, so that a changed superblock or key slot gets past them.
    package mutating func reseal(block: UInt64) {
        let covered: Int
        if Layout.superblocks.contains(block) {
            covered = 4032
        } else if (0..<Layout.keySlotCount).contains(where: { Layout.keySlot($0) == block }) {
            covered = 4064
        } else {
            return
        }
        do {
            let digest = try Digest.sha256(Array(self[..<covered]))
            replaceSubrange(covered..<covered + digest.count, with: digest)
        } catch {
            // Without a digest the change stays what it is: one that a checksum finds.
            return
        }
    }
}
