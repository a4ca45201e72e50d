extension LogicalMap {
    /// Which pages are in memory, and whose turn it is to go: a clock (Corbató, "A Paging Experiment with the Multics
    /// System", 1968). The hand passes over what was used since it last came by.
    struct Cache {
        let limitPages: Int
        /// The root's own page is not among them.
        var ring: [Page] = []
        var hand = 0
        var evictions: UInt64 = 0

        init(limitPages: Int) { self.limitPages = limitPages }
    }

    /// Pages in memory.
    var residentPages: Int { cache.ring.count }

    /// Puts a page that was read in its place, unless somebody else did meanwhile or it has moved.
    /// - Returns: `false` for bytes that are no such page.
    func install(_ page: Page, at pointer: PagePointer, _ bytes: UnsafeRawBufferPointer, _ geometry: Geometry)
        -> Bool
    {
        guard isWithin(page) else { return true }
        if page.level == 0 {
            let leaf = LeafPage(bytes: bytes)
            guard geometry.isPlausible(leaf) else { return false }
            let (parent, slot) = node(above: page)
            guard let parent, parent.pointers[slot] == pointer, parent.leaves[slot] == nil else { return true }
            place(leaf, page.index, parent, slot)
        } else {
            let node: PointerPage
            do throws(ParseError) {
                node = try PointerPage(count: childCount(page), isLowest: page.level == 1, bytes: bytes)
            } catch { return false }
            let (parent, slot) = self.node(above: page)
            guard let parent, parent.pointers[slot] == pointer, self.node(page) == nil else { return true }
            place(node, page, parent)
        }
        return true
    }

    func childCount(_ page: Page) -> Int {
        min(PagePointer.perPage, counts[page.level - 1] - page.index * PagePointer.perPage)
    }

    private func place(_ leaf: LeafPage, _ index: Int, _ parent: PointerPage, _ slot: Int) {
        // Not to lose the page above while room is made.
        parent.residents += 1
        makeRoom()
        parent.leaves[slot] = leaf
        cache.ring.append(Page(0, index))
    }

    func place(_ node: PointerPage, _ page: Page, _ parent: PointerPage) {
        parent.residents += 1
        makeRoom()
        setNode(page, node)
        cache.ring.append(page)
    }

    /// The leaf, made anew with the pages above it where it was never written. What is stored has been read.
    func presentPage(_ index: Int) -> LeafPage {
        if let leaf = leaf(index) { return leaf }
        precondition(missing(Page(0, index)) == nil, "the page was changed without having been read")
        var path: [Page] = []
        var page = Page(1, index / PagePointer.perPage)
        while page.level < counts.count, node(page) == nil {
            path.append(page)
            page = Page(page.level + 1, page.index / PagePointer.perPage)
        }
        for page in path.reversed() {
            guard let parent = node(above: page).0 else { preconditionFailure("made from the top down") }
            place(PointerPage(count: childCount(page), isLowest: page.level == 1), page, parent)
            // An empty page that nobody stands on could go while its leaf is made.
            node(page)?.residents += 1
        }
        let leaf = LeafPage()
        let (parent, slot) = node(above: Page(0, index))
        guard let parent else { preconditionFailure("made above") }
        place(leaf, index, parent, slot)
        for page in path { node(page)?.residents -= 1 }
        return leaf
    }

    /// Lets go of pages until one more fits, if any may go.
    private func makeRoom() {
        var steps = 0
        // Twice around: once to take the marks of use away, once to find a page without.
        while cache.ring.count >= cache.limitPages, steps < 2 * cache.ring.count {
            if cache.hand >= cache.ring.count { cache.hand = 0 }
            if evict(cache.ring[cache.hand]) {
                cache.ring.swapAt(cache.hand, cache.ring.count - 1)
                cache.ring.removeLast()
                cache.evictions += 1
            } else {
                cache.hand += 1
            }
            steps += 1
            // Where most may not go, looking at them all for each new page would cost more than it saves.
            if steps == 64, heldPages > cache.limitPages / 2 { return }
        }
    }

    private func evict(_ page: Page) -> Bool {
        let (parent, slot) = node(above: page)
        guard let parent else { preconditionFailure("a page is in memory only under its parent") }
        if page.level == 0 {
            guard let leaf = parent.leaves[slot], parent.pins[slot] == 0, !isHeld(leaf) else { return false }
            if leaf.wasUsed {
                leaf.wasUsed = false
                return false
            }
            parent.leaves[slot] = nil
        } else {
            guard let node = node(page), node.residents == 0, !node.isChanged else { return false }
            if node.wasUsed {
                node.wasUsed = false
                return false
            }
            setNode(page, nil)
        }
        parent.residents -= 1
        return true
    }
}
