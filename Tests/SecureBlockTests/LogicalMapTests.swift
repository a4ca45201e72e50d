import Testing

@testable import SecureBlock

/// The map as it is asked by who knew it when it was larger: what is behind its end is nowhere, and is not made.
@Suite struct LogicalMapTests {
    private let map: LogicalMap
    private let geometry = Geometry(segmentBlocks: 16, segmentCount: 400, logicalBlocks: 5000)

    /// Ten leaves, the last of which has eight blocks' room behind the end; the first and the last are stored.
    init() {
        func pointer(_ block: UInt64) -> PagePointer {
            PagePointer(
                block: PhysicalBlock(block), generation: Generation(1), epochIndex: 0, tag: Tag(low: block, high: 1)
            )
        }
        let page = PointerPage(count: 10, isLowest: true)
        page.pointers[0] = pointer(900)
        page.pointers[9] = pointer(901)
        map = LogicalMap(logicalBlocks: 5000, top: [pointer(800)])
        let bytes = page.serialised()
        let isIn = withExtendedLifetime(bytes) {
            map.install(LogicalMap.Page(1, 0), at: pointer(800), UnsafeRawBufferPointer(bytes.bytes), geometry)
        }
        #expect(isIn)
    }

    private func install(_ leaf: LeafPage, _ page: LogicalMap.Page, at pointer: PagePointer) -> Bool {
        withExtendedLifetime(leaf) { map.install(page, at: pointer, leaf.bytes, geometry) }
    }

    @Test func nothingIsBehindTheEnd() {
        #expect(map.entry(LogicalBlock(5000)) == .none)
        #expect(map.missing(LogicalMap.Page(0, 10)) == nil && map.missing(LogicalMap.Page(2, 0)) == nil)
        #expect(map.missing(LogicalBlock(5000), count: 9) == nil && map.missing(LogicalBlock(0), count: 0) == nil)
        #expect(map.missing(LogicalBlock(4999), count: 9)?.page == LogicalMap.Page(0, 9))
        #expect(map.emptyLeaves(from: 10) == 1)
        map.touch(LogicalMap.Page(0, 10), at: PhysicalBlock(900))
        let leaf = LeafPage(), before = map.residentPages
        #expect(install(leaf, LogicalMap.Page(0, 10), at: .none))
        #expect(map.residentPages == before)
    }

    /// Leaves that are stored must be read; between them nothing is.
    @Test func emptyLeavesAreCounted() {
        #expect(map.emptyLeaves(from: 0) == 0 && map.emptyLeaves(from: 9) == 0)
        #expect((1..<9).allSatisfy { map.emptyLeaves(from: $0) > 0 })
    }

    /// What came too late, as the page is there already or has moved, changes nothing; what is no page is refused.
    @Test func pagesComeOnce() throws {
        let pointer = try #require(map.missing(LogicalMap.Page(0, 0))?.pointer)
        let leaf = LeafPage()
        leaf.words[7] =
            MapEntry(block: geometry.physical(LogPosition(segment: 3, block: 5)), slot: 4).bits.littleEndian
        var elsewhere = pointer
        elsewhere.block = PhysicalBlock(902)
        #expect(install(leaf, LogicalMap.Page(0, 0), at: elsewhere))
        #expect(map.leaf(0) == nil)
        #expect(install(leaf, LogicalMap.Page(0, 0), at: pointer))
        #expect(map.entry(LogicalBlock(7)).slot == 4)
        leaf.words[7] = 0
        #expect(install(leaf, LogicalMap.Page(0, 0), at: pointer))
        #expect(map.entry(LogicalBlock(7)).slot == 4)

        let last = try #require(map.missing(LogicalMap.Page(0, 9))?.pointer)
        let wrong = [
            MapEntry(block: PhysicalBlock(3), slot: 0), MapEntry(bits: 1 << 50),
            MapEntry(block: geometry.physical(LogPosition(segment: 3, block: 4)), slot: 4),
            MapEntry(block: geometry.physical(LogPosition(segment: 3, block: 5)), slot: 200),
        ]
        for entry in wrong {
            leaf.words[7] = entry.bits.littleEndian
            #expect(!install(leaf, LogicalMap.Page(0, 9), at: last), "\(entry)")
        }
        let other = LogicalMap(logicalBlocks: 5000, top: [pointer])
        let garbage = AlignedBuffer(byteCount: blockBytes)
        garbage.bytes.initializeMemory(as: UInt8.self, repeating: 0xEE)
        let isPage = withExtendedLifetime(garbage) {
            other.install(LogicalMap.Page(1, 0), at: pointer, UnsafeRawBufferPointer(garbage.bytes), geometry)
        }
        #expect(!isPage)
        #expect(other.residentPages == 0)
    }
}
