/// One page of map entries in memory: 512 of them, in the stored byte order.
final class LeafPage {
    // SAFETY: owned by this object; every index is checked by the tree against `MapEntry.perPage`.
    let words: UnsafeMutablePointer<UInt64>
    /// Changed since the last checkpoint froze.
    var isDirty = false
    /// The running checkpoint still has to write it as it is: change a copy instead.
    var isFrozen = false

    init() {
        words = .allocate(capacity: MapEntry.perPage)
        words.initialize(repeating: 0, count: MapEntry.perPage)
    }

    init(copying page: LeafPage) {
        words = .allocate(capacity: MapEntry.perPage)
        words.initialize(from: page.words, count: MapEntry.perPage)
        isDirty = page.isDirty
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
