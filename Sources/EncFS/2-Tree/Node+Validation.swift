extension Node {
    /// Checks everything that access relies on: after this, no offset or length leads out of the node.
    /// - Parameter level: where the parent says it stands.
    func validate(level expected: Int) throws(StoredError) {
        guard byteCount > Self.headerBytes, load(UInt32.self, at: 0) == Self.magic else {
            throw .invalid("not a node")
        }
        guard load(UInt64.self, at: 8) == address else {
            throw .invalid("names itself block \(load(UInt64.self, at: 8))")
        }
        guard level == expected else { throw .invalid("level \(level), expected \(expected)") }
        let slotsEnd = Self.headerBytes + count * Self.slotBytes
        guard slotsEnd <= heapStart, heapStart <= byteCount else {
            throw .invalid("\(count) items, lowest byte \(heapStart)")
        }
        guard level == 0 || count > 0 else { throw .invalid("interior node without children") }
        let limit = Self.maximumValueBytes(nodeBytes: byteCount)
        var total = 0
        for index in 0..<count {
            let place = valuePlace(index)
            let length = valueLength(index)
            guard place >= heapStart || length == 0, place + length <= byteCount, length <= limit else {
                throw .invalid("item \(index) at \(place), \(length) bytes")
            }
            guard level == 0 || length == 8 else { throw .invalid("child pointer of \(length) bytes") }
            guard index == 0 || key(index - 1) < key(index) else {
                throw .invalid("items out of order at \(index)")
            }
            total += length
        }
        guard total <= byteCount - heapStart else { throw .invalid("items overlap") }
    }

    /// What ``validate(level:)`` checks, as an invariant of our own changes.
    func checkInvariants() throws(StoredError) { try validate(level: level) }
}
