/// As much of a tree of pages as can be read: the leaves that exist, and which are unknown because a page above does not
/// verify.
///
/// **Memory**: 40 bytes for each leaf that exists, and 80 for each page above that is lost. What the tree's size alone
/// says takes none: a root may give a map of 2²⁹ leaves and have a single one.
struct PartialTree {
    /// An interior page that does not verify.
    struct LostPage {
        var level: Int
        var index: Int
        var pointer: PagePointer
        /// The leaves below.
        var leaves: Range<Int>
    }

    let leafCount: Int
    /// Ascending.
    private(set) var stored: [(leaf: Int, pointer: PagePointer)] = []
    private(set) var unknown = RangeSet<Int>()
    /// From the top down.
    private(set) var lost: [LostPage] = []

    /// Nothing is known.
    init(leafCount: Int) {
        self.leafCount = leafCount
        unknown.insert(contentsOf: 0..<leafCount)
    }

    /// - Parameter read: the verified bytes of a page, valid until the next call.
    init(
        _ kind: BlockKind, leafCount: Int, top: [PagePointer],
        read: (PagePointer, BlockAssociation) throws(VolumeError) -> UnsafeRawBufferPointer?
    ) throws(VolumeError) {
        let counts = PageTree.levelCounts(leafCount: leafCount)
        guard top.count == counts[counts.count - 1] else {
            self = PartialTree(leafCount: leafCount)
            return
        }
        self.leafCount = leafCount
        stored = top.enumerated().filter(\.element.exists).map { ($0.offset, $0.element) }
        // How many leaves are below one pointer of the level.
        var span = counts.dropFirst().reduce(1) { span, _ in span * PagePointer.perPage }
        for level in stride(from: counts.count - 1, to: 0, by: -1) {
            var below: [(leaf: Int, pointer: PagePointer)] = []
            for (index, pointer) in stored {
                let page = try read(pointer, BlockAssociation(kind, level: UInt8(level), address: UInt64(index)))
                let start = index * PagePointer.perPage
                let end = min(start + PagePointer.perPage, counts[level - 1])
                if let children = page.flatMap({ Self.children($0, end - start) }) {
                    for (child, pointer) in children where pointer.exists { below.append((start + child, pointer)) }
                } else {
                    let leaves = index * span..<min((index + 1) * span, leafCount)
                    lost.append(LostPage(level: level, index: index, pointer: pointer, leaves: leaves))
                    unknown.insert(contentsOf: leaves)
                }
            }
            stored = below
            span /= PagePointer.perPage
        }
    }

    /// The pointers of an interior page; `nil` when they are none.
    private static func children(_ page: UnsafeRawBufferPointer, _ count: Int) -> [(Int, PagePointer)]? {
        var reader = ByteReader(page)
        do throws(ParseError) {
            var pointers: [(Int, PagePointer)] = []
            for child in 0..<count { pointers.append((child, try PagePointer(parsing: &reader))) }
            return pointers
        } catch { return nil }
    }

    /// A leaf's pointer; `nil` for one that does not exist or is unknown.
    func pointer(_ leaf: Int) -> PagePointer? {
        var low = 0, high = stored.count
        while low < high {
            let middle = (low + high) / 2
            if stored[middle].leaf < leaf { low = middle + 1 } else { high = middle }
        }
        return low < stored.count && stored[low].leaf == leaf ? stored[low].pointer : nil
    }
}
