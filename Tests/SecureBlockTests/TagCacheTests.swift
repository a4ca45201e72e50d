import Testing

@testable import SecureBlock

@Suite struct TagCacheTests {
    /// The newest records are known, the oldest forgotten, however many came and went; another use of a segment's blocks is
    /// never taken for this one.
    @Test func theOldestGoes() {
        let tags = (0..<4).map { Tag(low: UInt64($0), high: 0) }
        let one = TagCache.Tags(generation: Generation(1), tags: tags)
        let cache = TagCache(limitBytes: 100 * one.byteCount)
        for header in 0..<UInt64(20_000) {
            cache.insert(header: PhysicalBlock(header), TagCache.Tags(generation: Generation(1), tags: tags))
            // Known already: it does not take its room twice.
            if header % 3 == 0 {
                cache.insert(header: PhysicalBlock(header), TagCache.Tags(generation: Generation(2), tags: tags))
            }
        }
        for header in 19_900..<UInt64(20_000) {
            let generation = Generation(header % 3 == 0 ? 2 : 1)
            #expect(cache.tags(header: PhysicalBlock(header), generation)?.tags == tags, "\(header)")
            #expect(cache.tags(header: PhysicalBlock(header), Generation(3 - generation.rawValue)) == nil)
        }
        #expect(cache.tags(header: PhysicalBlock(19_899), Generation(1)) == nil)
        #expect(cache.tags(header: PhysicalBlock(0), Generation(2)) == nil)
    }
}
