extension LogicalMap {
    /// What checkpoints have to write.
    struct Changes {
        /// Counts freezes, from 2 on: a page of version 0 never changed.
        var version: UInt32 = 2
        /// Leaves changed since the last freeze, and interior pages that are to move.
        var dirty: [Int] = []
        var moving: Set<Page> = []
        /// The same, of the running checkpoint.
        var frozen: [Int] = []
        var frozenMoving: Set<Page> = []
        var isFrozen = false
        /// Frozen leaves that have changed since, as they were.
        var originals: [Int: LeafPage] = [:]
        /// Interior pages that the running checkpoint changed.
        var nodes: [Page] = []
    }

    /// Leaves changed since the last freeze, and those that the running checkpoint writes.
    var dirtyCount: Int { changes.dirty.count }
    var frozenCount: Int { changes.isFrozen ? changes.frozen.count : 0 }
    /// Leaves that must stay in memory for a checkpoint.
    var heldPages: Int { dirtyCount + frozenCount }
    /// So many leaves wait for a checkpoint that one should come.
    var wantsCheckpoint: Bool { dirtyCount > cache.limitPages / 2 }
    /// So many leaves wait for checkpoints that no more should change before one has ended.
    var isFull: Bool { heldPages >= cache.limitPages }

    func isHeld(_ leaf: LeafPage) -> Bool {
        leaf.version == changes.version || changes.isFrozen && leaf.version == changes.version - 1
    }

    func writablePage(_ index: Int) -> LeafPage {
        var page = presentPage(index)
        page.wasUsed = true
        guard page.version != changes.version else { return page }
        if changes.isFrozen, page.version == changes.version - 1, !page.isWritten {
            changes.originals[index] = page
            page = LeafPage(copying: page)
            let (parent, slot) = node(above: Page(0, index))
            parent?.leaves[slot] = page
        }
        page.version = changes.version
        page.isWritten = false
        changes.dirty.append(index)
        return page
    }

    /// Has the next checkpoint write a page anew, elsewhere, if it stands at `place` now. It has been read.
    func touch(_ page: Page, at place: PhysicalBlock) {
        guard isWithin(page) else { return }
        let (parent, slot) = node(above: page)
        guard let parent, parent.pointers[slot].block == place else { return }
        if page.level == 0 {
            _ = writablePage(page.index)
        } else if let node = node(page) {
            node.isChanged = true
            changes.moving.insert(page)
        }
    }

    /// Fixes the map as it is for a checkpoint. Takes no time: a leaf is copied when it is first changed afterwards.
    func freeze() {
        precondition(!changes.isFrozen, "one checkpoint at a time")
        changes.frozen = changes.dirty
        changes.frozenMoving = changes.moving
        changes.dirty = []
        changes.moving = []
        changes.version += 1
        changes.isFrozen = true
    }

    var frozenLeaves: [Int] { changes.frozen }

    /// A leaf as it was when the checkpoint froze; its bytes do not change before ``moved(_:to:)``.
    func frozenLeaf(_ index: Int) -> LeafPage {
        guard let page = changes.originals[index] ?? leaf(index) else {
            preconditionFailure("a frozen leaf stays in memory")
        }
        return page
    }

    /// The interior pages of a level that the checkpoint must write, when all of the level below are.
    func frozenPages(level: Int, below: Set<Int>) -> Set<Int> {
        var pages = Set(below.map { $0 / PagePointer.perPage })
        for page in changes.frozenMoving where page.level == level { pages.insert(page.index) }
        return pages
    }

    func serialised(_ page: Page) -> AlignedBuffer {
        guard let node = node(page) else { preconditionFailure("a changed page stays in memory") }
        return node.serialised()
    }

    /// The checkpoint has written a page.
    /// - Returns: where it was before.
    func moved(_ page: Page, to pointer: PagePointer) -> PagePointer {
        if page.level == 0, changes.originals.removeValue(forKey: page.index) == nil {
            leaf(page.index)?.isWritten = true
        }
        let (parent, slot) = node(above: page)
        guard let parent else { preconditionFailure("a page is in memory only under its parent") }
        let old = parent.pointers[slot]
        parent.pointers[slot] = pointer
        parent.isChanged = true
        changes.nodes.append(Page(page.level + 1, page.index / PagePointer.perPage))
        return old
    }

    /// What the checkpoint wrote is on the host, and its pages can be read again.
    func thaw() {
        changes.isFrozen = false
        changes.frozen = []
        changes.originals = [:]
        for page in changes.nodes + changes.frozenMoving where !changes.moving.contains(page) {
            node(page)?.isChanged = false
        }
        changes.nodes = []
        changes.frozenMoving = []
    }

    func checkInvariants() {
        var dirty = 0
        precondition(Set(cache.ring).count == cache.ring.count)
        var residents: [Page: Int] = [:]
        for page in cache.ring {
            let (parent, slot) = node(above: page)
            guard let parent else { preconditionFailure("a page without its parent") }
            residents[Page(page.level + 1, page.index / PagePointer.perPage), default: 0] += 1
            if page.level == 0 {
                guard let leaf = parent.leaves[slot] else { preconditionFailure("a leaf that is not there") }
                if leaf.version == changes.version { dirty += 1 }
            } else {
                precondition(node(page) != nil, "a page that is not there")
            }
        }
        for page in cache.ring where page.level > 0 {
            precondition(node(page)?.residents == residents[page, default: 0], "pages under \(page)")
        }
        precondition(
            dirty == dirtyCount && Set(changes.dirty).count == dirty, "\(dirty) changed, \(dirtyCount) kept")
        precondition(changes.isFrozen || changes.originals.isEmpty && changes.frozen.isEmpty)
    }
}
