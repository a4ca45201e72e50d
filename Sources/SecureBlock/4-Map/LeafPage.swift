/// One page of map entries in memory: 512 of them, in the stored byte order.
final class LeafPage {
    // SAFETY: owned by this object; every index is checked by the tree against `MapEntry.perPage`.
    let words: UnsafeMutablePointer<UInt64>
    /// The freeze that its last change came before; see ``LogicalMap/freeze()``.
    @exclusivity(unchecked) var version: UInt32 = 0
    /// The running checkpoint has written it: it may be changed in place again.
    @exclusivity(unchecked) var isWritten = false
    /// Asked for since the cache last looked.
    @exclusivity(unchecked) var wasUsed = true

    init() {
        words = .allocate(capacity: MapEntry.perPage)
        words.initialize(repeating: 0, count: MapEntry.perPage)
    }

    init(copying page: LeafPage) {
        words = .allocate(capacity: MapEntry.perPage)
        words.initialize(from: page.words, count: MapEntry.perPage)
    }

    init(bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == blockBytes)
        words = .allocate(capacity: MapEntry.perPage)
        words.initialize(repeating: 0, count: MapEntry.perPage)
        UnsafeMutableRawBufferPointer(start: words, count: blockBytes).copyMemory(from: bytes)
    }

    deinit { words.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: words, count: blockBytes) }
}

extension Geometry {
    /// Whether every entry of a page points to where data can be. A page that is not was written by a bug of ours; nothing
    /// computed from it may trap.
    func isPlausible(_ page: LeafPage) -> Bool {
        for index in 0..<MapEntry.perPage {
            let entry = MapEntry(bits: UInt64(littleEndian: page.words[index]))
            guard !entry.hasUnknownFlags else { return false }
            if entry.isMapped {
                guard let position = position(entry.block),
                    entry.slot < RecordHeader.maximumEntries, Int(position.block) > entry.slot
                else { return false }
            }
        }
        return true
    }
}
