extension LogicalMap {
    /// What becomes of a map's stored pages when it takes another size: found by reading, from the top down, those that reach
    /// behind the new end.
    ///
    ///     var plan = Resizing(map, logicalBlocks: 1000)
    ///     while let (page, pointer) = plan.nextToRead() { plan.take(page, pointer, …) }
    struct Resizing {
        let logicalBlocks: UInt64
        /// The map's pointers in the root; as they hold tags, equal ones mean that nothing stored has changed.
        let oldTop: [PagePointer]
        /// Those of the map of the new size.
        private(set) var top: [PagePointer]
        /// Stored pages that are no more.
        private(set) var dropped: [PagePointer] = []
        /// Stored pages that stay and lose children, upper ones first: they are written anew, so that nothing comes back when the
        /// map grows again.
        private(set) var border: [(page: Page, pointer: PagePointer, bytes: AlignedBuffer)] = []
        let oldHeight: Int
        let oldLeafCount: Int
        private let counts: [Int]
        private var toRead: [(page: Page, pointer: PagePointer)] = []

        init(_ map: LogicalMap, logicalBlocks: UInt64) {
            self.logicalBlocks = logicalBlocks
            oldTop = map.top
            oldHeight = map.counts.count
            oldLeafCount = map.leafCount
            counts = PageTree.levelCounts(leafCount: LogicalMap.leafCount(logicalBlocks: logicalBlocks))
            top = Array(repeating: .none, count: counts[counts.count - 1])
            if counts.count == oldHeight { setTop(oldTop) }
            look(at: oldTop, Page(oldHeight - 1, 0))
        }

        private mutating func setTop(_ pointers: [PagePointer]) {
            for index in 0..<min(top.count, pointers.count) { top[index] = pointers[index] }
        }

        mutating func nextToRead() -> (page: Page, pointer: PagePointer)? { toRead.popLast() }

        /// The bytes of a page that was to be read.
        mutating func take(_ page: Page, _ pointer: PagePointer, _ bytes: AlignedBuffer) {
            if isKept(page) { border.append((page, pointer, bytes)) }
            var reader = ByteReader(UnsafeRawBufferPointer(bytes.bytes))
            var children: [PagePointer] = []
            // A page is as many pointers as fit; it verified, so they are ours.
            do throws(ParseError) {
                for _ in 0..<PagePointer.perPage { children.append(try PagePointer(parsing: &reader)) }
            } catch { children = [] }
            // What was in the middle is the top now.
            if page == Page(counts.count, 0) { setTop(children) }
            look(at: children, Page(page.level - 1, page.index * PagePointer.perPage))
        }

        private func isKept(_ page: Page) -> Bool { page.level < counts.count && page.index < counts[page.level] }

        private mutating func look(at pointers: [PagePointer], _ first: Page) {
            for (offset, pointer) in pointers.enumerated() where pointer.exists {
                let page = Page(first.level, first.index + offset)
                let end = min((page.index + 1) << (page.level * LogicalMap.pointerBits), oldLeafCount)
                if isKept(page), end <= counts[0] { continue }
                if !isKept(page) { dropped.append(pointer) }
                if page.level > 0 { toRead.append((page, pointer)) }
            }
        }
    }

    /// Whether the plan is still right: no checkpoint came in between, nothing waits for one, and nobody is at work.
    func `is`(_ plan: Resizing) -> Bool {
        top == plan.oldTop && heldPages == 0 && !changes.isFrozen && changes.moving.isEmpty
            && cache.ring.allSatisfy { page in
                guard page.level == 0 else { return true }
                let (node, slot) = node(above: page)
                return node?.pins[slot] == 0
            }
    }

    /// The map of the new size: the pages that stay, to be read when asked for, and in memory those that the next checkpoint
    /// must write.
    /// - Returns: `nil` where a page is none.
    func resized(by plan: Resizing, _ geometry: Geometry) -> LogicalMap? {
        let next = LogicalMap(
            logicalBlocks: plan.logicalBlocks, top: plan.top, limitBytes: cache.limitPages * blockBytes)
        next.cache.evictions = cache.evictions
        for (page, pointer, bytes) in plan.border {
            guard next.install(page, at: pointer, UnsafeRawBufferPointer(bytes.bytes), geometry) else { return nil }
            next.touch(page, at: pointer.block)
        }
        guard next.counts.count > plan.oldHeight, plan.oldTop.contains(where: \.exists) else { return next }
        // What the root held is held by new pages now, one on each new level.
        for level in stride(from: next.counts.count - 1, through: plan.oldHeight, by: -1) {
            let page = Page(level, 0)
            guard let parent = next.node(above: page).0 else { preconditionFailure("made from the top down") }
            let node = PointerPage(count: next.childCount(page), isLowest: level == 1)
            node.isChanged = true
            if level == plan.oldHeight {
                for (index, pointer) in plan.oldTop.enumerated() { node.pointers[index] = pointer }
            }
            next.place(node, page, parent)
            next.changes.moving.insert(page)
        }
        return next
    }
}
