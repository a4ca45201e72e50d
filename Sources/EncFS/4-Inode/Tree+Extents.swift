import SecureBlock
import VFS

extension Tree {
    /// The extent at a cursor of kind `extent`, checked against the filesystem's size.
    func extent(_ cursor: TreeCursor) throws(TreeError) -> Extent {
        let extent: Extent
        do throws(StoredError) {
            extent = try Extent(fileBlock: cursor.key.offset, stored: cursor.value)
        } catch { throw .unparsable(cursor.key, error) }
        guard extent.first >= space.dataStart, extent.first + extent.count <= space.blocks else {
            throw .corrupt(
                "item \(cursor.key): blocks \(extent.first) + \(extent.count) are outside the filesystem")
        }
        return extent
    }

    private func isExtent(_ key: ItemKey, of number: UInt64) -> Bool {
        key.inode == number && key.kind == ItemKind.extent.rawValue
    }

    /// The last extent that begins at or before `block`.
    func lastExtent(_ number: UInt64, upTo block: UInt64) throws(TreeError) -> Extent? {
        guard let cursor = try last(upTo: ItemKey(number, .extent, block)), isExtent(cursor.key, of: number) else {
            return nil
        }
        return try extent(cursor)
    }

    /// Gives the extents that overlap `range`, ascending, until `body` returns `false`.
    func forEachExtent(
        _ number: UInt64, in range: Range<UInt64>, _ body: (Extent) throws(TreeError) -> Bool
    ) throws(TreeError) {
        guard !range.isEmpty else { return }
        var cursor = try last(upTo: ItemKey(number, .extent, range.lowerBound))
        if let before = cursor, !isExtent(before.key, of: number) {
            cursor = try next(before)
        } else if cursor == nil {
            cursor = try first(from: ItemKey(number, .extent, range.lowerBound))
        }
        var end: UInt64 = 0
        while let here = cursor, isExtent(here.key, of: number), here.key.offset < range.upperBound {
            let extent = try extent(here)
            guard extent.fileBlock >= end else { throw .corrupt("item \(here.key): extents overlap") }
            end = extent.fileEnd
            if extent.fileEnd > range.lowerBound, try !body(extent) { return }
            cursor = try next(here)
        }
    }

    func extents(_ number: UInt64, in range: Range<UInt64>) throws(TreeError) -> [Extent] {
        var found: [Extent] = []
        try forEachExtent(number, in: range) { extent throws(TreeError) in
            found.append(extent)
            return true
        }
        return found
    }

    /// Allocates every block of `range` that has none.
    /// - Returns: the ranges that had none.
    func fillHoles(_ number: UInt64, in range: Range<UInt64>) throws(TreeError) -> [Range<UInt64>] {
        var holes: [Range<UInt64>] = []
        var position = range.lowerBound
        for extent in try extents(number, in: range) {
            if extent.fileBlock > position { holes.append(position..<extent.fileBlock) }
            position = max(position, extent.fileEnd)
        }
        if position < range.upperBound { holes.append(position..<range.upperBound) }
        for hole in holes {
            var position = hole.lowerBound
            while position < hole.upperBound {
                var goal: UInt64?
                if position > 0, let before = try lastExtent(number, upTo: position - 1), before.fileEnd == position
                {
                    goal = before.first + before.count
                }
                let wanted = min(hole.upperBound - position, Extent.maximumBlocks)
                let run = try space.takeData(wanted: wanted, goal: goal)
                try add(number, Extent(fileBlock: position, first: run.lowerBound, count: UInt64(run.count)))
                position += UInt64(run.count)
            }
        }
        return holes
    }

    /// Adds an extent where none is, joining it with its neighbours.
    func add(_ number: UInt64, _ new: Extent) throws(TreeError) {
        var extent = new
        if extent.fileBlock > 0, let before = try lastExtent(number, upTo: extent.fileBlock - 1),
            before.fileEnd == extent.fileBlock, before.first + before.count == extent.first,
            before.mayBeShared == extent.mayBeShared, before.count + extent.count <= Extent.maximumBlocks
        {
            extent.fileBlock = before.fileBlock
            extent.first = before.first
            extent.count += before.count
        }
        if let after = try lastExtent(number, upTo: extent.fileEnd), after.fileBlock == extent.fileEnd,
            extent.first + extent.count == after.first, after.mayBeShared == extent.mayBeShared,
            extent.count + after.count <= Extent.maximumBlocks
        {
            try remove(ItemKey(number, .extent, after.fileBlock))
            extent.count += after.count
        }
        try set(ItemKey(number, .extent, extent.fileBlock), extent.stored)
    }

    /// Frees the blocks of a file in `range`, from its end, at most `limit` extents.
    /// - Returns: how many blocks were freed, and whether none is left in `range`.
    func freeBlocks(
        _ number: UInt64, in range: Range<UInt64>, limit: Int
    ) throws(TreeError) -> (freed: UInt64, isDone: Bool) {
        var freed: UInt64 = 0
        var upper = range.upperBound
        for _ in 0..<limit {
            guard upper > range.lowerBound, let extent = try lastExtent(number, upTo: upper - 1),
                extent.fileEnd > range.lowerBound
            else { return (freed, true) }
            let low = max(extent.fileBlock, range.lowerBound)
            let high = min(extent.fileEnd, upper)
            guard low < high else {
                // The extent ends before `upper`'s: nothing between.
                return (freed, true)
            }
            try release(extent.part(low..<high))
            freed += high - low
            let key = ItemKey(number, .extent, extent.fileBlock)
            if extent.fileBlock < low {
                try set(key, extent.part(extent.fileBlock..<low).stored)
            } else {
                try remove(key)
            }
            if high < extent.fileEnd {
                try insert(ItemKey(number, .extent, high), extent.part(high..<extent.fileEnd).stored)
            }
            upper = low
        }
        return (freed, upper <= range.lowerBound)
    }
}
