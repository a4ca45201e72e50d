/// The pages of one sparse file: a radix tree over page numbers that is only as deep as the highest page needs.
///
///     height 2        [occupied | 64 slots]
///                        |            |
///     height 1        [o | 64]     [o | 64]        520 bytes each
///                      |    |        |
///     height 0        page page     page           4096 bytes each
///
/// A set bit in a node's first word marks each slot in use, so the next page or hole behind a number is found by bit
/// scans, however sparse the file.
struct PageTree: ~Copyable {
    static let pageBytes = 4096
    /// Size of an inner node in bytes: the occupancy word and 64 slots.
    static let nodeBytes = 65 * 8

    private typealias Node = UnsafeMutablePointer<UInt>

    /// A page at height 0, else a node, by address; 0 for an empty tree.
    private var top: UInt = 0
    private var height = 0
    private(set) var pageCount = 0
    private(set) var nodeCount = 0
    /// Removed pages belong to somebody else.
    private var isDetaching = false

    deinit { Self.free(top, height) }

    /// Bytes of memory that the tree holds.
    var byteCount: UInt64 { UInt64(pageCount * Self.pageBytes + nodeCount * Self.nodeBytes) }

    // SAFETY (all of this file): a slot whose bit is set holds the address of a page or node that the tree allocated
    // and has not freed; every other slot is never followed. Pages handed out live until removed or the tree ends.
    private static func node(_ address: UInt) -> Node? { Node(bitPattern: address) }

    private static func slot(_ page: UInt64, _ height: Int) -> Int { Int((page >> (6 * UInt64(height - 1))) & 63) }

    /// The least height at which `page` has a place.
    private static func height(for page: UInt64) -> Int {
        (UInt64.bitWidth - page.leadingZeroBitCount + 5) / 6
    }

    func page(at index: UInt64) -> UnsafeMutableRawPointer? {
        guard Self.height(for: index) <= height else { return nil }
        var address = top
        var level = height
        while level > 0 {
            guard let node = Self.node(address) else { return nil }
            let slot = Self.slot(index, level)
            guard node[0] >> UInt(slot) & 1 == 1 else { return nil }
            address = node[slot + 1]
            level -= 1
        }
        return UnsafeMutableRawPointer(bitPattern: address)
    }

    /// Bytes that inserting the absent page `index` takes.
    func cost(of index: UInt64) -> UInt64 {
        let needed = Self.height(for: index)
        var nodes = 0
        if top == 0 {
            nodes = needed
        } else if needed > height {
            nodes = (needed - height) + (needed - 1)
        } else {
            var address = top
            var level = height
            while level > 0, let node = Self.node(address) {
                let slot = Self.slot(index, level)
                level -= 1
                guard node[0] >> UInt(slot) & 1 == 1 else {
                    nodes = level
                    break
                }
                address = node[slot + 1]
            }
        }
        return UInt64(Self.pageBytes + nodes * Self.nodeBytes)
    }

    /// Adds page `index`, which must be absent. Its contents are undefined.
    mutating func insert(_ index: UInt64) -> UnsafeMutableRawPointer {
        let page = UnsafeMutableRawPointer.allocate(byteCount: Self.pageBytes, alignment: 64)
        attach(page, at: index)
        return page
    }

    /// Gives every page of `range`, which loses them, another number; there the tree has none.
    mutating func move(_ range: Range<UInt64>, to start: UInt64) {
        var pages: [(index: UInt64, page: UnsafeMutableRawPointer)] = []
        var index = range.lowerBound
        while let found = firstPage(from: index), found < range.upperBound, let page = page(at: found) {
            pages.append((found, page))
            index = found + 1
        }
        isDetaching = true
        remove(range)
        isDetaching = false
        for (index, page) in pages { attach(page, at: start + (index - range.lowerBound)) }
    }

    private mutating func attach(_ page: UnsafeMutableRawPointer, at index: UInt64) {
        let needed = Self.height(for: index)
        if top == 0 { height = needed }
        while height < needed {
            let node = newNode()
            node[0] = 1
            node[1] = top
            top = UInt(bitPattern: node)
            height += 1
        }
        top = adding(UInt(bitPattern: page), at: index, below: top, height)
        pageCount += 1
    }

    private mutating func newNode() -> Node {
        let node = Node.allocate(capacity: 65)
        node[0] = 0
        nodeCount += 1
        return node
    }

    private mutating func adding(_ page: UInt, at index: UInt64, below address: UInt, _ level: Int) -> UInt {
        guard level > 0 else {
            precondition(address == 0, "page is present")
            return page
        }
        let node = Self.node(address) ?? newNode()
        let slot = Self.slot(index, level)
        let bit: UInt = 1 << UInt(slot)
        node[slot + 1] = adding(page, at: index, below: node[0] & bit == 0 ? 0 : node[slot + 1], level - 1)
        node[0] |= bit
        return UInt(bitPattern: node)
    }

    /// Frees every page in `range`, and the nodes that go empty.
    mutating func remove(_ range: Range<UInt64>) {
        guard top != 0, !range.isEmpty else { return }
        top = removing(range, from: top, height, base: 0)
        if top == 0 { height = 0 }
    }

    /// The subtree's address without the pages of `range`; 0 when nothing is left of it.
    private mutating func removing(_ range: Range<UInt64>, from address: UInt, _ level: Int, base: UInt64) -> UInt {
        guard level > 0, let node = Self.node(address) else {
            guard range.contains(base) else { return address }
            if !isDetaching { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
            pageCount -= 1
            return 0
        }
        let shift = 6 * UInt64(level - 1)
        var left = node[0]
        while left != 0 {
            let slot = left.trailingZeroBitCount
            left &= left - 1
            let first = base + UInt64(slot) << shift
            let last = first + (1 << shift - 1)
            if last < range.lowerBound { continue }
            if first >= range.upperBound { break }
            let child = removing(range, from: node[slot + 1], level - 1, base: first)
            node[slot + 1] = child
            if child == 0 { node[0] &= ~(1 << UInt(slot)) }
        }
        guard node[0] == 0 else { return address }
        node.deallocate()
        nodeCount -= 1
        return 0
    }

    private static func free(_ address: UInt, _ level: Int) {
        guard level > 0, let node = node(address) else {
            UnsafeMutableRawPointer(bitPattern: address)?.deallocate()
            return
        }
        for slot in 0..<64 where node[0] >> UInt(slot) & 1 == 1 { free(node[slot + 1], level - 1) }
        node.deallocate()
    }
}

extension PageTree {
    /// The first page present at or behind `index`.
    func firstPage(from index: UInt64) -> UInt64? {
        guard top != 0, Self.height(for: index) <= height else { return nil }
        return Self.firstPage(from: index, below: top, height, base: 0)
    }

    private static func firstPage(from index: UInt64, below address: UInt, _ level: Int, base: UInt64) -> UInt64? {
        guard level > 0, let node = node(address) else { return base >= index ? base : nil }
        let shift = 6 * UInt64(level - 1)
        let start = index > base ? min((index - base) >> shift, 63) : 0
        var left = node[0] & (~0 << UInt(start))
        while left != 0 {
            let slot = left.trailingZeroBitCount
            left &= left - 1
            let first = base + UInt64(slot) << shift
            if let found = firstPage(from: index, below: node[slot + 1], level - 1, base: first) { return found }
        }
        return nil
    }

    /// The first page absent at or behind `index`.
    func firstHole(from index: UInt64) -> UInt64 {
        guard top != 0, Self.height(for: index) <= height else { return index }
        return Self.firstHole(from: index, below: top, height, base: 0) ?? max(index, 1 << (6 * UInt64(height)))
    }

    private static func firstHole(from index: UInt64, below address: UInt, _ level: Int, base: UInt64) -> UInt64? {
        guard level > 0, let node = node(address) else { return nil }
        let shift = 6 * UInt64(level - 1)
        let start = index > base ? Int(min((index - base) >> shift, 63)) : 0
        for slot in start..<64 {
            let first = base + UInt64(slot) << shift
            if node[0] >> UInt(slot) & 1 == 0 { return max(first, index) }
            if let hole = firstHole(from: index, below: node[slot + 1], level - 1, base: first) { return hole }
        }
        return nil
    }
}
