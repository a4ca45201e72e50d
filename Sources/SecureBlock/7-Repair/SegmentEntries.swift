/// What the map has in a range of segments: a word for each of their blocks.
///
///     bits  0…39  logical block + 1; 0 for a block that the map does not name
///     bits 40…47  slot in its record
final class SegmentEntries {
    let segments: Range<UInt32>
    private let segmentBlocks: Int
    // SAFETY: `count` words owned by this object; `index` checks against the range.
    private let words: UnsafeMutablePointer<UInt64>

    init(_ segments: Range<UInt32>, _ geometry: Geometry) {
        self.segments = segments
        segmentBlocks = geometry.segmentBlocks
        words = .allocate(capacity: segments.count * segmentBlocks)
        words.initialize(repeating: 0, count: segments.count * segmentBlocks)
    }

    deinit { words.deallocate() }

    private func index(_ segment: UInt32, _ block: UInt32) -> Int {
        precondition(segments.contains(segment) && Int(block) < segmentBlocks)
        return Int(segment - segments.lowerBound) * segmentBlocks + Int(block)
    }

    /// Notes that `logical` is at `position`.
    /// - Returns: who was there already.
    func put(_ position: LogPosition, _ slot: Int, _ logical: LogicalBlock) -> LogicalBlock? {
        let index = index(position.segment, position.block)
        guard words[index] == 0 else { return LogicalBlock((words[index] & 0xFF_FFFF_FFFF) - 1) }
        words[index] = (logical.rawValue + 1) | UInt64(slot & 0xFF) << 40
        return nil
    }

    /// A segment's blocks that the map names, in order.
    func entries(of segment: UInt32) -> [(block: UInt32, slot: Int, logical: UInt64)] {
        var entries: [(block: UInt32, slot: Int, logical: UInt64)] = []
        for block in 0..<UInt32(segmentBlocks) {
            let word = words[index(segment, block)]
            if word != 0 { entries.append((block, Int(word >> 40 & 0xFF), (word & 0xFF_FFFF_FFFF) - 1)) }
        }
        return entries
    }
}
