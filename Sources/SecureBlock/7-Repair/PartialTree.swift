/// As much of a tree of pages as can be read: the pointers to its leaves, and which of them are unknown because a page
/// above does not verify.
///
/// **Memory**: 33 bytes for each page of the map, as 16 MiB for each TiB.
struct PartialTree {
    private(set) var leaves: [PagePointer]
    private(set) var isUnknown: [Bool]
    /// Interior pages that do not verify.
    private(set) var lostPages: UInt64 = 0

    /// Nothing is known.
    init(leafCount: Int) {
        leaves = Array(repeating: .none, count: leafCount)
        isUnknown = Array(repeating: true, count: leafCount)
    }

    /// - Parameter read: the verified bytes of a page, valid until the next call.
    init(
        _ kind: BlockKind, leafCount: Int, top: [PagePointer],
        read: (PagePointer, BlockAssociation) throws(VolumeError) -> UnsafeRawBufferPointer?
    ) throws(VolumeError) {
        let counts = PageTree.levelCounts(leafCount: leafCount)
        guard top.count == counts[counts.count - 1] else {
            leaves = Array(repeating: .none, count: leafCount)
            isUnknown = Array(repeating: true, count: leafCount)
            return
        }
        var pointers = top
        var unknown = Array(repeating: false, count: top.count)
        var lost: UInt64 = 0
        for level in stride(from: counts.count - 1, to: 0, by: -1) {
            let below = counts[level - 1]
            var next = Array(repeating: PagePointer.none, count: below)
            var nextUnknown = Array(repeating: false, count: below)
            for index in pointers.indices {
                let start = index * PagePointer.perPage, end = min(start + PagePointer.perPage, below)
                guard !unknown[index] else {
                    for child in start..<end { nextUnknown[child] = true }
                    continue
                }
                guard pointers[index].exists else { continue }
                let page = try read(
                    pointers[index], BlockAssociation(kind, level: UInt8(level), address: UInt64(index)))
                do throws(ParseError) {
                    guard let page else { throw .unexpected(field: "page", position: 0) }
                    var reader = ByteReader(page)
                    for child in start..<end { next[child] = try PagePointer(parsing: &reader) }
                } catch {
                    lost += 1
                    for child in start..<end {
                        next[child] = .none
                        nextUnknown[child] = true
                    }
                }
            }
            pointers = next
            unknown = nextUnknown
        }
        leaves = pointers
        isUnknown = unknown
        lostPages = lost
    }
}
