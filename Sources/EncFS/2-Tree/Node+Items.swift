#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension Node {
    /// Whether an item with a value of `valueBytes` has room, perhaps after compacting.
    func fits(valueBytes: Int) -> Bool {
        let needed = Self.slotBytes + valueBytes
        if gapBytes >= needed { return true }
        return capacity - usedBytes >= needed
    }

    /// Inserts before item `index`. The caller checked ``fits(valueBytes:)`` and the order.
    func insert(_ key: ItemKey, _ value: UnsafeRawBufferPointer, at index: Int) {
        if gapBytes < Self.slotBytes + value.count { compact() }
        let place = heapStart - value.count
        let start = Self.headerBytes + index * Self.slotBytes
        // SAFETY: the gap holds one slot and the value, so both moves stay inside the node.
        memmove(bytes + start + Self.slotBytes, bytes + start, (count - index) * Self.slotBytes)
        if let source = value.baseAddress { (bytes + place).copyMemory(from: source, byteCount: value.count) }
        heapStart = place
        storeKey(key, at: start)
        store(UInt8(0), at: start + 17)
        store(UInt16(place), at: start + 18)
        store(UInt16(value.count), at: start + 20)
        store(UInt16(0), at: start + 22)
        count += 1
        lastInsertion = index
    }

    private func storeKey(_ key: ItemKey, at slot: Int) {
        store(key.inode, at: slot)
        store(key.offset, at: slot + 8)
        store(key.kind, at: slot + 16)
    }

    func append(_ key: ItemKey, _ value: UnsafeRawBufferPointer) { insert(key, value, at: count) }

    /// Adds all of another node's items. The caller checked that there is room, and the order.
    func append(itemsOf other: Node) {
        for index in 0..<other.count { append(other.key(index), other.value(index)) }
    }

    func remove(at index: Int) {
        let start = Self.headerBytes + index * Self.slotBytes
        if valuePlace(index) == heapStart { heapStart += valueLength(index) }
        memmove(bytes + start, bytes + start + Self.slotBytes, (count - index - 1) * Self.slotBytes)
        count -= 1
        if count == 0 { heapStart = byteCount }
    }

    /// Overwrites a value of the same length.
    func overwrite(at index: Int, _ value: UnsafeRawBufferPointer) {
        precondition(value.count == valueLength(index))
        if let source = value.baseAddress {
            (bytes + valuePlace(index)).copyMemory(from: source, byteCount: value.count)
        }
    }

    /// Lets child `index` also hold keys from `key` on.
    func lowerKey(of index: Int, to key: ItemKey) {
        storeKey(key, at: Self.headerBytes + index * Self.slotBytes)
    }

    /// Closes the holes that removed items left.
    func compact() {
        let old = Node(copying: self)
        reset(level: old.level)
        append(itemsOf: old)
    }
}
