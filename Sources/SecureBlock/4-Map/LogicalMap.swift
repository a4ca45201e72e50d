/// Logical to physical: an array of eight-byte entries in pages under a tree of pointers, of which as much is in memory as
/// was asked for lately.
///
/// Level 0 are the leaves; a page of level k holds 128 pointers to pages of level k − 1; the pointers to the topmost pages
/// are in the root, and here in one page more that is always in memory. A page is in memory only if the one above it is.
/// ``missing(_:count:)`` says what must be read before an entry can be asked for; as others may push it out again, whoever
/// asks keeps the monitor from there on, or pins the leaf.
///
/// Pages that changed since the last checkpoint, that one under way has still to make durable, or that are pinned, stay.
///
/// Not thread-safe: the device's monitor guards it.
final class LogicalMap {
    /// A page of the tree: level 0 is the leaves'.
    struct Page: Hashable, Comparable {
        var level: Int
        var index: Int
        var id: UInt64 { UInt64(level) << 56 | UInt64(index) }
        init(_ level: Int, _ index: Int) {
            self.level = level
            self.index = index
        }
        static func < (left: Page, right: Page) -> Bool { left.id < right.id }
        /// What seals the page to its place in the tree.
        var association: BlockAssociation {
            BlockAssociation(.mapPage, level: UInt8(level), address: UInt64(index))
        }
    }

    let logicalBlocks: UInt64
    let leafCount: Int
    /// Pages on each stored level, leaves first.
    let counts: [Int]
    // SAFETY: `nodes[k]` has as many elements as level k + 1 has pages (one for the root's own); owned by this object. Indices
    // come from `leafIndex`, which checks the range, or from `slot`, divided down from a checked page number.
    private let nodes: [UnsafeMutablePointer<PointerPage?>]
    private let lowest: UnsafeMutablePointer<PointerPage?>
    // Not checked for overlapping accesses at run time: each block read or written touches them.
    @exclusivity(unchecked) var cache: Cache
    @exclusivity(unchecked) var changes = Changes()

    /// - Parameters:
    ///   - top: the pointers in the root; as many as the size asks for.
    ///   - limitBytes: what pages in memory may take.
    init(logicalBlocks: UInt64, top: [PagePointer]? = nil, limitBytes: Int = .max) {
        self.logicalBlocks = logicalBlocks
        leafCount = Self.leafCount(logicalBlocks: logicalBlocks)
        counts = PageTree.levelCounts(leafCount: leafCount)
        cache = Cache(limitPages: max(limitBytes / blockBytes, 8))
        var nodes: [UnsafeMutablePointer<PointerPage?>] = []
        for level in 1...counts.count {
            let count = level < counts.count ? counts[level] : 1
            let pages = UnsafeMutablePointer<PointerPage?>.allocate(capacity: count)
            pages.initialize(repeating: nil, count: count)
            nodes.append(pages)
        }
        self.nodes = nodes
        lowest = nodes[0]
        let root = PointerPage(count: counts[counts.count - 1], isLowest: counts.count == 1)
        if let top {
            precondition(top.count == root.count, "as many pointers as the map has topmost pages")
            for (index, pointer) in top.enumerated() { root.pointers[index] = pointer }
        }
        nodes[counts.count - 1][0] = root
    }

    deinit {
        for (index, pages) in nodes.enumerated() {
            pages.deinitialize(count: index + 1 < counts.count ? counts[index + 1] : 1)
            pages.deallocate()
        }
    }

    static let pointerBits = PagePointer.perPage.trailingZeroBitCount

    static func leafCount(logicalBlocks: UInt64) -> Int {
        Int((logicalBlocks + UInt64(MapEntry.perPage) - 1) / UInt64(MapEntry.perPage))
    }

    /// Pages above the leaves.
    var interiorCount: Int { counts.dropFirst().reduce(0, +) }
    /// The pointers that the root holds.
    var top: [PagePointer] {
        guard let root = nodes[counts.count - 1][0] else { preconditionFailure("the root's page is always there") }
        return (0..<root.count).map { root.pointers[$0] }
    }

    @inline(__always)
    func leafIndex(_ block: LogicalBlock) -> Int {
        precondition(block.rawValue < logicalBlocks)
        return Int(block.rawValue / UInt64(MapEntry.perPage))
    }

    /// The page above, and the place in it.
    @inline(__always)
    func node(above page: Page) -> (PointerPage?, slot: Int) {
        (nodes[page.level][page.index / PagePointer.perPage], page.index % PagePointer.perPage)
    }

    @inline(__always)
    func node(_ page: Page) -> PointerPage? { nodes[page.level - 1][page.index] }

    func setNode(_ page: Page, _ node: PointerPage?) { nodes[page.level - 1][page.index] = node }

    @inline(__always)
    func leaf(_ index: Int) -> LeafPage? {
        guard let node = lowest[index / PagePointer.perPage] else { return nil }
        return node.leaves[index % PagePointer.perPage]
    }

    /// What must be read before `page`, or for level 0 its entries, can be looked at: itself or a page above it, and where
    /// it is. `nil`: it is in memory, or was never written.
    func missing(_ page: Page) -> (page: Page, pointer: PagePointer)? {
        guard isWithin(page) else { return nil }
        // From the topmost stored level down.
        for level in stride(from: counts.count - 1, through: page.level, by: -1) {
            let wanted = Page(level, page.index >> ((level - page.level) * Self.pointerBits))
            let isThere = level == 0 ? leaf(wanted.index) != nil : node(wanted) != nil
            if isThere { continue }
            let (parent, slot) = node(above: wanted)
            guard let parent, parent.pointers[slot].exists else { return nil }
            return (wanted, parent.pointers[slot])
        }
        return nil
    }

    /// The first page that must be read before the entries of a range can be asked for.
    func missing(_ first: LogicalBlock, count: UInt64) -> (page: Page, pointer: PagePointer)? {
        guard count > 0, first.rawValue < logicalBlocks else { return nil }
        let last = leafIndex(LogicalBlock(min(first.rawValue + count, logicalBlocks) - 1))
        for index in leafIndex(first)...last where leaf(index) == nil {
            if let missing = missing(Page(0, index)) { return missing }
        }
        return nil
    }

    /// How many leaves from this one on were never written; 0 where it was, or where that must be read first.
    func emptyLeaves(from index: Int) -> Int {
        guard index < leafCount else { return 1 }
        for level in stride(from: counts.count - 1, through: 0, by: -1) {
            let page = Page(level, index >> (level * Self.pointerBits))
            let isThere = level == 0 ? leaf(index) != nil : node(page) != nil
            if isThere { continue }
            let (parent, slot) = node(above: page)
            if let parent, parent.pointers[slot].exists { return 0 }
            return min((page.index + 1) << (level * Self.pointerBits), leafCount) - index
        }
        return 0
    }

    /// Whether there is such a page; there may have been before the device became smaller.
    func isWithin(_ page: Page) -> Bool { page.level < counts.count && page.index < counts[page.level] }

    /// Where a block is; nowhere behind the end, for who asked before the device became smaller.
    @inline(__always)
    func entry(_ block: LogicalBlock) -> MapEntry {
        guard block.rawValue < logicalBlocks else { return .none }
        let index = leafIndex(block)
        guard let page = leaf(index) else {
            precondition(missing(Page(0, index)) == nil, "the page was asked for without having been read")
            return .none
        }
        page.wasUsed = true
        return MapEntry(bits: UInt64(littleEndian: page.words[Int(block.rawValue % UInt64(MapEntry.perPage))]))
    }

    @inline(__always)
    func set(_ block: LogicalBlock, _ entry: MapEntry) {
        writablePage(leafIndex(block)).words[Int(block.rawValue % UInt64(MapEntry.perPage))] =
            entry.bits.littleEndian
    }

    /// Keeps the leaf of a block in memory, writable without reading, until ``unpin(_:)``.
    func pin(_ block: LogicalBlock) {
        let index = leafIndex(block)
        _ = presentPage(index)
        let (node, slot) = node(above: Page(0, index))
        node?.pins[slot] += 1
    }

    func unpin(_ block: LogicalBlock) {
        let (node, slot) = node(above: Page(0, leafIndex(block)))
        guard let node, node.pins[slot] > 0 else { preconditionFailure("a pinned leaf stays") }
        node.pins[slot] -= 1
    }
}
