/// One node of the tree in memory, exactly as stored.
///
///     offset  size  field
///          0     4  magic "CNod"
///          4     1  level: 0 for leaves
///          5     1  zero
///          6     2  count of items
///          8     8  the node's own first block
///         16     2  offset of the lowest item byte
///         18    14  zero
///         32   24n  slots, ascending by key
///          …        free
///          …        item bytes, downwards from the end
///
///     slot: 0  8  inode      8  8  offset      16  1  kind      17  1  zero
///          18  2  place of the item's bytes    20  2  their length      22  2  zero
///
/// The value of an interior item is the first block of a child (8 bytes) that holds the keys from its key on. All that is read through this type was validated by ``init(reading:address:level:)``.
final class Node {
    static let headerBytes = 32
    static let slotBytes = 24
    static let magic: UInt32 = 0x646F_4E43
    static let maximumLevel = 15

    let address: UInt64
    let byteCount: Int
    /// SAFETY: owned by this object, `byteCount` long, aligned to a block; used only under the tree lock, or by the
    /// committer while the gate keeps every change away.
    let bytes: UnsafeMutableRawPointer

    /// Differs from the device.
    var isDirty = false
    /// A copy is on its way to the device; reading the device might find the bytes before it.
    var isInFlight = false
    /// Freed; lives only until whoever still holds it lets go.
    var isDead = false
    /// Used since the cache's hand last passed.
    var isReferenced = true
    /// Operations that need it to stay.
    var pins = 0
    /// The change that last saved or made it.
    var savedBy: UInt64 = 0
    var cacheIndex = -1
    /// Where an item was added last, since the node came into memory: a hint at what comes next.
    var lastInsertion = -2

    /// A private copy of a node's bytes.
    init(copying other: Node) {
        address = other.address
        byteCount = other.byteCount
        bytes = .allocate(byteCount: byteCount, alignment: 16)
        bytes.copyMemory(from: other.bytes, byteCount: byteCount)
    }

    deinit { bytes.deallocate() }

    /// A fresh, empty node.
    init(empty address: UInt64, level: Int, byteCount: Int) {
        self.address = address
        self.byteCount = byteCount
        bytes = .allocate(byteCount: byteCount, alignment: 4096)
        reset(level: level)
    }

    /// A node as the device gave it.
    /// - Throws: what is wrong with it.
    init(reading source: UnsafeRawBufferPointer, address: UInt64, level: Int) throws(StoredError) {
        self.address = address
        byteCount = source.count
        bytes = .allocate(byteCount: source.count, alignment: 4096)
        bytes.copyMemory(from: source.baseAddress ?? UnsafeRawPointer(bytes), byteCount: source.count)
        try validate(level: level)
    }

    func reset(level: Int) {
        bytes.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        store(Self.magic, at: 0)
        store(UInt8(truncatingIfNeeded: level), at: 4)
        store(address, at: 8)
        heapStart = byteCount
    }

    @inline(__always) func load<T: FixedWidthInteger>(_: T.Type = T.self, at offset: Int) -> T {
        // SAFETY: callers pass offsets of the header or of slots below `count`, which `validate` bounded.
        T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    @inline(__always) func store<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        // SAFETY: as `load(_:at:)`.
        bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }

    /// The whole node as stored; valid while the node lives, its bytes until it changes.
    var content: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: byteCount) }

    var level: Int { Int(load(UInt8.self, at: 4)) }
    var isLeaf: Bool { level == 0 }

    var count: Int {
        get { Int(load(UInt16.self, at: 6)) }
        set { store(UInt16(newValue), at: 6) }
    }

    var heapStart: Int {
        get { Int(load(UInt16.self, at: 16)) }
        set { store(UInt16(newValue), at: 16) }
    }

    /// What slots and items may use together.
    var capacity: Int { byteCount - Self.headerBytes }
    /// The largest value an item may have: slot and value are at most a quarter of the node.
    static func maximumValueBytes(nodeBytes: Int) -> Int { (nodeBytes - headerBytes) / 4 - slotBytes }

    /// Bytes between slots and items.
    var gapBytes: Int { heapStart - Self.headerBytes - count * Self.slotBytes }

    /// Bytes of slots and items, without what removed items left behind.
    var usedBytes: Int {
        var sum = count * Self.slotBytes
        for index in 0..<count { sum += valueLength(index) }
        return sum
    }

    @inline(__always) private func slot(_ index: Int) -> Int { Self.headerBytes + index * Self.slotBytes }

    @inline(__always) func key(_ index: Int) -> ItemKey {
        let slot = slot(index)
        return ItemKey(inode: load(at: slot), rawKind: load(at: slot + 16), offset: load(at: slot + 8))
    }

    @inline(__always) func valuePlace(_ index: Int) -> Int { Int(load(UInt16.self, at: slot(index) + 18)) }
    @inline(__always) func valueLength(_ index: Int) -> Int { Int(load(UInt16.self, at: slot(index) + 20)) }

    /// The item's bytes; valid until the node changes.
    func value(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: bytes + valuePlace(index), count: valueLength(index))
    }

    /// The child an interior item names.
    func child(_ index: Int) -> UInt64 { load(at: valuePlace(index)) }

    /// The first item not below `key`, and whether it is `key`.
    func search(_ key: ItemKey) -> (index: Int, found: Bool) {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        return (low, low < count && self.key(low) == key)
    }

    /// The child that covers `key`.
    func childIndex(_ key: ItemKey) -> Int {
        let (index, found) = search(key)
        return found ? index : max(0, index - 1)
    }
}
