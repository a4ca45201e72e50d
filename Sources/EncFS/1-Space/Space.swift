import SecureBlock

/// Which blocks are free, and who gets the next ones.
///
/// Used only under the tree lock. Changes belong to the running operation until ``keep()`` or ``undo()``.
final class Space {
    private(set) var blocks: UInt64
    private(set) var dataStart: UInt64
    /// From here on only tree nodes, and only for operations that free space.
    private(set) var reserveStart: UInt64
    let nodeBlocks: UInt64
    private(set) var bitmapStart: UInt64
    /// Where new places may be: all that is not at a fixed place, and less while a resize empties the rest.
    private(set) var bounds: Bounds

    /// Free blocks of every group, as in the group table; freed ones count once committed.
    var freeCounts: [UInt32]
    var freeBlocks: UInt64
    private(set) var pendingBlocks: UInt64 = 0
    var groups: [BitmapGroup?]
    var loadedCount = 0
    /// Where the next file that has no place yet goes.
    private var dataCursor: UInt64
    /// Where the next node goes: nodes gather at low addresses, apart from data.
    private var nodeCursor: UInt64

    private var taken: [Range<UInt64>] = []
    private var released: [Range<UInt64>] = []

    static let groupBlocks = Superblock.groupBlocks
    /// Bitmap blocks kept in memory (4 KiB each) beside changed ones.
    private static let loadedLimit = 2048

    init(_ superblock: Superblock, freeCounts: [UInt32]) {
        blocks = superblock.blocks
        dataStart = superblock.dataStart
        reserveStart = superblock.reserveStart
        nodeBlocks = superblock.nodeBlocks
        bitmapStart = superblock.bitmapStart
        bounds = Bounds(superblock)
        self.freeCounts = freeCounts
        freeBlocks = freeCounts.reduce(0) { $0 + UInt64($1) }
        groups = Array(repeating: nil, count: freeCounts.count)
        nodeCursor = superblock.dataStart
        dataCursor = superblock.dataStart + (superblock.reserveStart - superblock.dataStart) / 32
    }

    /// Where new places may be.
    struct Bounds: Equatable {
        var dataStart: UInt64
        var reserveStart: UInt64
        var end: UInt64

        init(_ superblock: Superblock) {
            dataStart = superblock.dataStart
            reserveStart = superblock.reserveStart
            end = superblock.blocks
        }
    }

    /// Keeps new places within `bounds` from now on.
    func restrict(to bounds: Bounds) {
        self.bounds = bounds
        dataCursor = min(max(dataCursor, bounds.dataStart), bounds.reserveStart)
        nodeCursor = min(max(nodeCursor, bounds.dataStart), bounds.reserveStart)
    }

    /// Takes over the layout of a superblock of another size; ``groups`` and ``freeCounts`` are the caller's to adapt.
    func adopt(_ superblock: Superblock) {
        blocks = superblock.blocks
        dataStart = superblock.dataStart
        reserveStart = superblock.reserveStart
        bitmapStart = superblock.bitmapStart
        restrict(to: Bounds(superblock))
    }

    // MARK: groups

    func group(_ number: Int) throws(TreeError) -> BitmapGroup {
        guard groups.indices.contains(number) else { throw .corrupt("group \(number)") }
        guard let group = groups[number] else { throw .missingGroup(number) }
        return group
    }

    /// Adds a bitmap block that was read.
    /// - Throws: when it does not hold what the group table says.
    func add(_ group: BitmapGroup) throws(TreeError) {
        guard groups.indices.contains(group.number) else { throw .corrupt("group \(group.number)") }
        guard groups[group.number] == nil else { return }
        guard UInt32(group.free) == freeCounts[group.number] else {
            throw .corrupt(
                "group \(group.number) has \(group.free) free blocks, table says \(freeCounts[group.number])")
        }
        if loadedCount >= Self.loadedLimit { dropClean() }
        groups[group.number] = group
        loadedCount += 1
    }

    private func dropClean() {
        for index in groups.indices {
            guard let group = groups[index], !group.isDirty, !group.isInCommit else { continue }
            groups[index] = nil
            loadedCount -= 1
            if loadedCount <= Self.loadedLimit / 2 { return }
        }
    }

    /// Changed groups, ascending, after their freed blocks became allocatable; and those blocks.
    func settle() -> (changed: [BitmapGroup], freed: [Range<UInt64>]) {
        var changed: [BitmapGroup] = []
        var freed: [Range<UInt64>] = []
        for case .some(let group) in groups where group.isDirty {
            let base = UInt64(group.number) * Self.groupBlocks
            for run in group.settle() {
                let range = base + UInt64(run.lowerBound)..<base + UInt64(run.upperBound)
                if let last = freed.last, last.upperBound == range.lowerBound {
                    freed[freed.count - 1] = last.lowerBound..<range.upperBound
                } else {
                    freed.append(range)
                }
                nodeCursor = min(nodeCursor, max(bounds.dataStart, range.lowerBound))
            }
            let before = freeCounts[group.number]
            freeBlocks = freeBlocks - UInt64(before) + UInt64(group.free)
            freeCounts[group.number] = UInt32(group.free)
            changed.append(group)
        }
        pendingBlocks = 0
        return (changed, freed)
    }

    // MARK: one operation

    func keep() {
        for range in released {
            forEachGroup(range) { group, bits in group.release(bits) }
            pendingBlocks += UInt64(range.count)
        }
        taken.removeAll(keepingCapacity: true)
        released.removeAll(keepingCapacity: true)
    }

    func undo() {
        for range in taken {
            forEachGroup(range) { group, bits in
                group.giveBack(bits)
                freeCounts[group.number] = UInt32(group.free)
            }
            freeBlocks += UInt64(range.count)
        }
        taken.removeAll(keepingCapacity: true)
        released.removeAll(keepingCapacity: true)
    }

    /// Frees blocks with the next commit, if the operation succeeds.
    func free(_ first: UInt64, count: UInt64) throws(TreeError) {
        guard count > 0, first >= dataStart, first < blocks, count <= blocks - first else {
            throw .corrupt("blocks \(first) + \(count) cannot be freed")
        }
        let range = first..<first + count
        var position = range.lowerBound
        while position < range.upperBound {
            let number = Int(position / Self.groupBlocks)
            let end = min(range.upperBound, UInt64(number + 1) * Self.groupBlocks)
            let base = UInt64(number) * Self.groupBlocks
            guard try group(number).isAllocated(Int(position - base)..<Int(end - base)) else {
                throw .corrupt("blocks \(position)..<\(end) are not all in use")
            }
            position = end
        }
        guard !released.contains(where: { $0.overlaps(range) }) else {
            throw .corrupt("blocks \(range) freed twice")
        }
        released.append(range)
    }

    private func forEachGroup(_ range: Range<UInt64>, _ body: (BitmapGroup, Range<Int>) -> Void) {
        var position = range.lowerBound
        while position < range.upperBound {
            let number = Int(position / Self.groupBlocks)
            let base = UInt64(number) * Self.groupBlocks
            let end = min(range.upperBound, base + Self.groupBlocks)
            // Loaded: the same operation looked at it, and nothing leaves memory while an operation runs.
            if let group = groups[number] { body(group, Int(position - base)..<Int(end - base)) }
            position = end
        }
    }

    private func take(_ group: BitmapGroup, _ bits: Range<Int>) -> Range<UInt64> {
        let base = UInt64(group.number) * Self.groupBlocks
        group.take(bits)
        freeCounts[group.number] = UInt32(group.free)
        freeBlocks -= UInt64(bits.count)
        let range = base + UInt64(bits.lowerBound)..<base + UInt64(bits.upperBound)
        taken.append(range)
        return range
    }

    // MARK: allocation

    /// Takes a run of up to `wanted` blocks for data, at `goal` if that is free.
    func takeData(wanted: UInt64, goal: UInt64?) throws(TreeError) -> Range<UInt64> {
        if let goal, goal >= bounds.dataStart, goal < bounds.reserveStart {
            let group = try group(Int(goal / Self.groupBlocks))
            let bits = bits(of: group, in: goal..<bounds.reserveStart)
            let end = group.nextUsed(in: bits.lowerBound..<min(bits.upperBound, bits.lowerBound + Int(wanted)))
            if end > bits.lowerBound { return take(group, bits.lowerBound..<end) }
        }
        var best: (group: BitmapGroup, bits: Range<Int>)?
        var visited = 0
        for region in [dataCursor..<bounds.reserveStart, bounds.dataStart..<dataCursor] {
            var position = region.lowerBound
            while position < region.upperBound {
                let number = Int(position / Self.groupBlocks)
                let next = min(region.upperBound, UInt64(number + 1) * Self.groupBlocks)
                if freeCounts[number] > 0 {
                    let group = try group(number)
                    let run = longestRun(group, bits(of: group, in: position..<next), wanted: Int(wanted))
                    if run.count > best?.bits.count ?? 0 { best = (group, run) }
                    visited += 1
                    if run.count >= Int(wanted) || visited >= 16 && best != nil { break }
                }
                position = next
            }
            if let best, best.bits.count >= Int(wanted) || visited >= 16 { break }
        }
        guard let best else { throw .noSpace }
        let range = take(best.group, best.bits)
        // Leave a stretch behind a large write, so that files written side by side do not interleave.
        let window = wanted >= 32 ? min(1024, blocks / 64) : 0
        dataCursor = min(max(range.upperBound, range.lowerBound + window), bounds.reserveStart)
        if dataCursor >= bounds.reserveStart { dataCursor = bounds.dataStart }
        return range
    }

    private func bits(of group: BitmapGroup, in range: Range<UInt64>) -> Range<Int> {
        let base = UInt64(group.number) * Self.groupBlocks
        let low = max(range.lowerBound, base)
        let high = max(low, min(range.upperBound, base + Self.groupBlocks))
        return Int(low - base)..<Int(high - base)
    }

    private func longestRun(_ group: BitmapGroup, _ bits: Range<Int>, wanted: Int) -> Range<Int> {
        var best = bits.lowerBound..<bits.lowerBound
        var position = group.nextFree(in: bits)
        while position < bits.upperBound {
            let end = group.nextUsed(in: position..<min(bits.upperBound, position + wanted))
            if end - position > best.count { best = position..<end }
            if best.count >= wanted { break }
            position = group.nextFree(in: end..<bits.upperBound)
        }
        return best
    }

    /// Takes the place of one node, aligned to its size.
    /// - Parameter mayUseReserve: for operations that free space.
    func takeNode(mayUseReserve: Bool) throws(TreeError) -> UInt64 {
        var regions = [nodeCursor..<bounds.reserveStart, bounds.dataStart..<min(nodeCursor, bounds.reserveStart)]
        if mayUseReserve { regions.append(bounds.reserveStart..<bounds.end) }
        for (index, region) in regions.enumerated() {
            var position = region.lowerBound
            while position < region.upperBound {
                let number = Int(position / Self.groupBlocks)
                let next = min(region.upperBound, UInt64(number + 1) * Self.groupBlocks)
                if freeCounts[number] > 0 {
                    let group = try group(number)
                    if let bit = nodePlace(group, bits(of: group, in: position..<next)) {
                        let range = take(group, bit..<bit + Int(nodeBlocks))
                        if index < 2 { nodeCursor = range.upperBound }
                        return range.lowerBound
                    }
                }
                position = next
            }
        }
        throw .noSpace
    }

    private func nodePlace(_ group: BitmapGroup, _ bits: Range<Int>) -> Int? {
        let size = Int(nodeBlocks)
        var position = bits.lowerBound
        while position < bits.upperBound {
            position = group.nextFree(in: position..<bits.upperBound)
            position = (position + size - 1) / size * size
            guard position + size <= bits.upperBound else { return nil }
            let end = group.nextUsed(in: position..<position + size)
            if end == position + size { return position }
            position = end + 1
        }
        return nil
    }

    func checkInvariants() throws(TreeError) {
        guard freeBlocks == freeCounts.reduce(0, { $0 + UInt64($1) }) else { throw .corrupt("free block total") }
        for case .some(let group) in groups where UInt32(group.free) != freeCounts[group.number] {
            throw .corrupt("free count of group \(group.number)")
        }
    }
}

extension Space {
    /// A block of the group table as stored.
    func tableBlock(_ number: UInt64) -> [UInt8] {
        let start = Int(number * Superblock.groupsPerTableBlock)
        let end = min(freeCounts.count, start + Int(Superblock.groupsPerTableBlock))
        var writer = StoredWriter(capacity: blockBytes)
        for count in freeCounts[start..<end] { writer.integer(count) }
        writer.zeros(blockBytes - writer.bytes.count)
        return writer.bytes
    }
}
