/// One interior page of the map in memory: pointers to pages of the level below, and, above the leaves, those leaves that
/// are in memory too.
final class PointerPage {
    /// Pages below it.
    let count: Int
    // SAFETY: `count` elements each, owned by this object; `LogicalMap` computes every index from a page number of the level
    // below, of which `count` are under this page.
    let pointers: UnsafeMutablePointer<PagePointer>
    let leaves: UnsafeMutablePointer<LeafPage?>
    /// For each leaf, who needs it to stay in memory.
    let pins: UnsafeMutablePointer<UInt32>
    private let leafCount: Int
    /// Pages right below it that are in memory.
    @exclusivity(unchecked) var residents = 0
    /// Differs from what is stored, or is to be stored elsewhere.
    @exclusivity(unchecked) var isChanged = false
    /// Asked for since the cache last looked.
    @exclusivity(unchecked) var wasUsed = true

    /// - Parameter isLowest: the pages below are leaves.
    init(count: Int, isLowest: Bool) {
        self.count = count
        leafCount = isLowest ? count : 0
        pointers = .allocate(capacity: count)
        pointers.initialize(repeating: .none, count: count)
        leaves = .allocate(capacity: leafCount)
        leaves.initialize(repeating: nil, count: leafCount)
        pins = .allocate(capacity: leafCount)
        pins.initialize(repeating: 0, count: leafCount)
    }

    convenience init(count: Int, isLowest: Bool, bytes: UnsafeRawBufferPointer) throws(ParseError) {
        self.init(count: count, isLowest: isLowest)
        var reader = ByteReader(bytes)
        for index in 0..<count { pointers[index] = try PagePointer(parsing: &reader) }
    }

    deinit {
        leaves.deinitialize(count: leafCount)
        leaves.deallocate()
        pins.deallocate()
        pointers.deallocate()
    }

    /// The stored form.
    func serialised() -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        var writer = ByteWriter(buffer.bytes)
        for index in 0..<count { pointers[index].write(to: &writer) }
        return buffer
    }
}
