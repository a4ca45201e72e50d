/// Logical to physical: an array of eight-byte entries in pages, loaded when first needed, copied when a checkpoint
/// still needs the old contents.
///
/// Not thread-safe: the device's monitor guards it.
final class LogicalMap {
    let logicalBlocks: UInt64
    let leafCount: Int
    private(set) var tree: PageTree
    // SAFETY: `leafCount` slots owned by this object; indices come from `leafIndex`, which checks the range.
    private let pages: UnsafeMutablePointer<LeafPage?>
    private(set) var dirtyCount = 0

    init(logicalBlocks: UInt64, tree: PageTree? = nil) {
        self.logicalBlocks = logicalBlocks
        leafCount = Self.leafCount(logicalBlocks: logicalBlocks)
        self.tree = tree ?? PageTree(kind: .mapPage, leafCount: leafCount)
        pages = .allocate(capacity: leafCount)
        pages.initialize(repeating: nil, count: leafCount)
    }

    deinit {
        pages.deinitialize(count: leafCount)
        pages.deallocate()
    }

    static func leafCount(logicalBlocks: UInt64) -> Int {
        Int((logicalBlocks + UInt64(MapEntry.perPage) - 1) / UInt64(MapEntry.perPage))
    }

    @inline(__always)
    private func leafIndex(_ block: LogicalBlock) -> Int {
        precondition(block.rawValue < logicalBlocks)
        return Int(block.rawValue / UInt64(MapEntry.perPage))
    }

    /// The first leaf of the range that must be read before its entries can be asked for.
    func missingLeaf(_ first: LogicalBlock, count: UInt64) -> Int? {
        guard count > 0 else { return nil }
        let last = leafIndex(LogicalBlock(first.rawValue + count - 1))
        for index in leafIndex(first)...last where pages[index] == nil && tree.leaf(index).exists { return index }
        return nil
    }

    func isLoaded(leaf: Int) -> Bool { pages[leaf] != nil || !tree.leaf(leaf).exists }

    /// Puts a page that was read in its place, unless somebody else did meanwhile.
    func install(leaf: Int, _ page: LeafPage) {
        if pages[leaf] == nil { pages[leaf] = page }
    }

    @inline(__always)
    func entry(_ block: LogicalBlock) -> MapEntry {
        guard let page = pages[leafIndex(block)] else { return .none }
        return MapEntry(bits: UInt64(littleEndian: page.words[Int(block.rawValue % UInt64(MapEntry.perPage))]))
    }

    @inline(__always)
    func set(_ block: LogicalBlock, _ entry: MapEntry) {
        writablePage(leafIndex(block)).words[Int(block.rawValue % UInt64(MapEntry.perPage))] =
            entry.bits.littleEndian
    }

    private func writablePage(_ index: Int) -> LeafPage {
        let page: LeafPage
        if let present = pages[index] {
            page = present.isFrozen ? LeafPage(copying: present) : present
            if present.isFrozen {
                page.isDirty = false
                pages[index] = page
            }
        } else {
            page = LeafPage()
            pages[index] = page
        }
        if !page.isDirty {
            page.isDirty = true
            dirtyCount += 1
        }
        return page
    }

    /// Marks a loaded page so that the next checkpoint writes it anew, elsewhere.
    func touch(leaf index: Int) {
        _ = writablePage(index)
    }

    /// All pages changed since the last freeze, as they are now; later changes go to copies.
    func freeze() -> [(leaf: Int, page: LeafPage)] {
        var frozen: [(leaf: Int, page: LeafPage)] = []
        frozen.reserveCapacity(dirtyCount)
        for index in 0..<leafCount {
            if let page = pages[index], page.isDirty {
                page.isDirty = false
                page.isFrozen = true
                frozen.append((index, page))
            }
        }
        dirtyCount = 0
        return frozen
    }

    /// The page has been written: it may be changed in place again.
    func thaw(_ page: LeafPage) { page.isFrozen = false }

    func setPointer(_ pointer: PagePointer, level: Int, index: Int) {
        tree.set(pointer, level: level, index: index)
    }

    func checkInvariants() {
        tree.checkInvariants()
        var dirty = 0
        for index in 0..<leafCount {
            if let page = pages[index] {
                precondition(!(page.isDirty && page.isFrozen), "a frozen page was changed")
                if page.isDirty { dirty += 1 }
            }
        }
        precondition(dirty == dirtyCount)
    }
}
