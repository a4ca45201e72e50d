import VFS

/// How many extents name a block: counted for shared runs only, so a filesystem that shares nothing pays nothing.
extension Tree {
    /// The shared runs that overlap `range`, ascending.
    func sharedRuns(in range: Range<UInt64>) throws(TreeError) -> [SharedRun] {
        guard !range.isEmpty else { return [] }
        func isRun(_ key: ItemKey) -> Bool {
            key.inode == ItemKey.filesystem && key.kind == ItemKind.sharedRun.rawValue
        }
        let low = ItemKey(ItemKey.filesystem, .sharedRun, range.lowerBound)
        var cursor = try last(upTo: low)
        if let before = cursor, !isRun(before.key) {
            cursor = try next(before)
        } else if cursor == nil {
            cursor = try first(from: low)
        }
        var found: [SharedRun] = []
        var end: UInt64 = 0
        while let here = cursor, isRun(here.key), here.key.offset < range.upperBound {
            let run: SharedRun
            do throws(StoredError) {
                run = try SharedRun(first: here.key.offset, stored: here.value)
            } catch { throw .unparsable(here.key, error) }
            guard run.first >= end else { throw .corrupt("item \(here.key): shared runs overlap") }
            end = run.place.upperBound
            if run.place.overlaps(range) { found.append(run) }
            cursor = try next(here)
        }
        return found
    }

    /// Changes how many extents name each block of `range`.
    /// - Parameter change: from a count (1 where no run is) to the new one.
    /// - Returns: the parts whose count came to 0.
    private func recount(
        _ range: Range<UInt64>, _ change: (UInt32) throws(TreeError) -> UInt32
    ) throws(TreeError) -> [Range<UInt64>] {
        var pieces: [(place: Range<UInt64>, references: UInt32)] = []
        var outside: [SharedRun] = []
        var position = range.lowerBound
        for run in try sharedRuns(in: range) {
            try remove(ItemKey(ItemKey.filesystem, .sharedRun, run.first))
            if run.first < range.lowerBound {
                outside.append(SharedRun(run.first..<range.lowerBound, references: run.references))
            }
            if run.place.upperBound > range.upperBound {
                outside.append(SharedRun(range.upperBound..<run.place.upperBound, references: run.references))
            }
            let inside = run.place.clamped(to: range)
            if inside.lowerBound > position { pieces.append((position..<inside.lowerBound, 1)) }
            pieces.append((inside, run.references))
            position = inside.upperBound
        }
        for run in outside { try store(run) }
        if position < range.upperBound { pieces.append((position..<range.upperBound, 1)) }
        var unused: [Range<UInt64>] = []
        for piece in pieces {
            let references = try change(piece.references)
            if references == 0 { unused.append(piece.place) }
            if references > 1 { try store(SharedRun(piece.place, references: references)) }
        }
        return unused
    }

    /// Adds a run, joined with the ones beside it that have the same count.
    private func store(_ new: SharedRun) throws(TreeError) {
        var place = new.place
        if place.lowerBound > 0,
            let before = try sharedRuns(in: place.lowerBound - 1..<place.lowerBound).first,
            before.references == new.references
        {
            try remove(ItemKey(ItemKey.filesystem, .sharedRun, before.first))
            place = before.first..<place.upperBound
        }
        if let after = try sharedRuns(in: place.upperBound..<place.upperBound + 1).first,
            after.first == place.upperBound, after.references == new.references
        {
            try remove(ItemKey(ItemKey.filesystem, .sharedRun, after.first))
            place = place.lowerBound..<after.place.upperBound
        }
        try insert(
            ItemKey(ItemKey.filesystem, .sharedRun, place.lowerBound),
            SharedRun(place, references: new.references).stored)
    }

    /// Counts one more extent for each block.
    func share(_ range: Range<UInt64>) throws(TreeError) {
        if FileSabotage.isOn(.dropReference) { return }
        _ = try recount(range) { (references) throws(TreeError) in
            guard references < .max else { throw .refused(.tooManyLinks) }
            return references + 1
        }
    }

    /// Takes an extent's blocks away from it: those that no other extent names become free.
    func release(_ extent: Extent) throws(TreeError) {
        guard extent.mayBeShared else { return try space.free(extent.first, count: extent.count) }
        for unused in try recount(extent.place, { (references) throws(TreeError) in references - 1 }) {
            try space.free(unused.lowerBound, count: UInt64(unused.count))
        }
    }

    /// Whether other extents name any of the blocks that `extent` has.
    func isShared(_ extent: Extent) throws(TreeError) -> Bool {
        guard extent.mayBeShared else { return false }
        return try !sharedRuns(in: extent.place).isEmpty
    }
}
