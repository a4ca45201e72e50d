/// The pointers of a tree of pages, all in memory: 32 bytes for each page of 4 KiB.
///
/// Level 0 points to the leaves, level k + 1 to the interior pages that hold level k, 128 pointers each; the topmost
/// level has at most ``Root/maximumTop`` pointers and is stored in the root. As each pointer holds its page's tag, the
/// root authenticates the whole tree (a Merkle tree).
package struct PageTree: Sendable {
    package let kind: BlockKind
    package internal(set) var levels: [[PagePointer]]
    /// On each level, interior pages that the next checkpoint must write although nothing below them changed.
    var unwritten: [Set<Int>]

    package init(kind: BlockKind, leafCount: Int) {
        self.kind = kind
        levels = Self.levelCounts(leafCount: leafCount).map { Array(repeating: .none, count: $0) }
        unwritten = levels.map { _ in [] }
    }

    /// Pages on each level, leaves first.
    package static func levelCounts(leafCount: Int) -> [Int] {
        precondition(leafCount > 0)
        var counts = [leafCount]
        while let top = counts.last, top > Root.maximumTop {
            counts.append((top + PagePointer.perPage - 1) / PagePointer.perPage)
        }
        return counts
    }

    /// Pages above the leaves.
    package var interiorCount: Int { levels.dropFirst().reduce(0) { $0 + $1.count } }
    package var leaves: [PagePointer] { levels[0] }
    package var top: [PagePointer] { levels[levels.count - 1] }

    @inline(__always)
    package func leaf(_ index: Int) -> PagePointer { levels[0][index] }

    package mutating func set(_ pointer: PagePointer, level: Int, index: Int) {
        levels[level][index] = pointer
        if !unwritten[level].isEmpty { unwritten[level].remove(index) }
    }

    /// The stored form of an interior page: `level` ≥ 1 holds pointers of the level below.
    package func serialised(level: Int, index: Int) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        var writer = ByteWriter(buffer.bytes)
        let start = index * PagePointer.perPage
        for pointer in levels[level - 1][start..<min(start + PagePointer.perPage, levels[level - 1].count)] {
            pointer.write(to: &writer)
        }
        return buffer
    }

    /// Reads all interior pages below `top`.
    /// - Throws: ``VolumeError/corrupt(_:)`` for a page that does not verify, ``VolumeError/host(_:)``.
    package static func load(
        kind: BlockKind, leafCount: Int, top: [PagePointer], _ context: VolumeContext
    ) throws(VolumeError) -> PageTree {
        var tree = PageTree(kind: kind, leafCount: leafCount)
        let last = tree.levels.count - 1
        guard top.count == tree.levels[last].count else {
            throw .corrupt("\(kind) tree has \(top.count) top pages")
        }
        tree.levels[last] = top
        for level in stride(from: last, to: 0, by: -1) {
            let wanted = tree.levels[level].indices.filter { tree.levels[level][$0].exists }
            let pages = wanted.map {
                (tree.levels[level][$0], BlockAssociation(kind, level: UInt8(level), address: UInt64($0)))
            }
            try context.forEachPage(pages) { position, page throws(VolumeError) in
                let index = wanted[position]
                var reader = ByteReader(UnsafeRawBufferPointer(page.bytes))
                let start = index * PagePointer.perPage
                let end = min(start + PagePointer.perPage, tree.levels[level - 1].count)
                do throws(ParseError) {
                    for child in start..<end { tree.levels[level - 1][child] = try PagePointer(parsing: &reader) }
                } catch { throw .corrupt("\(kind) page \(index) of level \(level): \(error)") }
            }
        }
        return tree
    }

    /// Calls `body` with every page there is.
    package func forEachPage(_ body: (PagePointer, _ level: Int, _ index: Int) -> Void) {
        for level in levels.indices {
            for index in levels[level].indices where levels[level][index].exists {
                body(levels[level][index], level, index)
            }
        }
    }

    /// The pointers to all pages there are.
    package var pages: [PagePointer] { levels.flatMap { $0.filter(\.exists) } }

    /// A parent without a pointer has no children.
    package func checkInvariants() {
        for level in 1..<max(levels.count, 1) where levels.count > 1 {
            precondition(
                levels[level].count == (levels[level - 1].count + PagePointer.perPage - 1) / PagePointer.perPage)
            for index in levels[level - 1].indices where levels[level - 1][index].exists {
                precondition(
                    levels[level][index / PagePointer.perPage].exists, "an interior page without its parent")
            }
        }
        precondition(top.count <= Root.maximumTop)
    }
}
