import VFS

/// The entries of one directory: found by name, and walked in the order of their cookies.
///
/// Cookies only grow, so a scan that goes on behind a cookie meets every entry that stays exactly once. Removed entries
/// leave a dead slot until half of the slots are dead.
struct DirectoryIndex {
    struct Slot {
        var cookie: UInt64
        /// `nil` for a dead slot.
        var name: Name?
        var node: UInt64
        var kind: NodeKind
    }

    private var cookies: [Name: UInt64] = [:]
    private var slots: [Slot] = []
    private var deadCount = 0
    /// 1 and 2 belong to `.` and `..`.
    private var nextCookie: UInt64 = 3
    /// Bytes the entries would take in a `getdents64(2)` buffer, about; what `st_size` of the directory says.
    private(set) var listingBytes: UInt64 = 0

    var count: Int { cookies.count }
    var isEmpty: Bool { cookies.isEmpty }

    static func listingBytes(_ name: Name) -> UInt64 { UInt64(name.bytes.count + 24) }

    func find(_ name: Name) -> Slot? {
        guard let cookie = cookies[name] else { return nil }
        return slots[position(behind: cookie - 1)]
    }

    /// The position of the first slot with a greater cookie.
    private func position(behind cookie: UInt64) -> Int {
        var low = 0
        var high = slots.count
        while low < high {
            let middle = (low + high) / 2
            if slots[middle].cookie > cookie { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Adds an entry; the name must be free.
    mutating func insert(_ name: Name, _ node: UInt64, _ kind: NodeKind) {
        precondition(cookies.updateValue(nextCookie, forKey: name) == nil, "name is taken")
        slots.append(Slot(cookie: nextCookie, name: name, node: node, kind: kind))
        nextCookie += 1
        listingBytes += Self.listingBytes(name)
    }

    /// Binds a present name to another node, in its place in the order.
    mutating func rebind(_ name: Name, _ node: UInt64, _ kind: NodeKind) {
        guard let cookie = cookies[name] else { preconditionFailure("no such name") }
        let position = position(behind: cookie - 1)
        slots[position].node = node
        slots[position].kind = kind
    }

    mutating func remove(_ name: Name) {
        guard let cookie = cookies.removeValue(forKey: name) else { preconditionFailure("no such name") }
        slots[position(behind: cookie - 1)].name = nil
        deadCount += 1
        listingBytes -= Self.listingBytes(name)
        if deadCount > 32, deadCount > slots.count / 2 {
            slots.removeAll { $0.name == nil }
            deadCount = 0
        }
    }

    /// Up to `limit` live entries behind `cookie`, in order.
    func entries(behind cookie: UInt64, limit: Int) -> [Slot] {
        var found: [Slot] = []
        var position = position(behind: cookie)
        while position < slots.count, found.count < limit {
            if slots[position].name != nil { found.append(slots[position]) }
            position += 1
        }
        return found
    }

    /// What is wrong with the index; nothing, unless this file has a bug.
    func checkInvariants() -> [String] {
        var wrong: [String] = []
        var bytes: UInt64 = 0
        var live = 0
        for (position, slot) in slots.enumerated() {
            if position > 0, slots[position - 1].cookie >= slot.cookie { wrong.append("cookies out of order") }
            guard let name = slot.name else { continue }
            live += 1
            bytes += Self.listingBytes(name)
            if cookies[name] != slot.cookie { wrong.append("\(name) is not found by name") }
        }
        if live != cookies.count { wrong.append("\(cookies.count) names, \(live) slots") }
        if live + deadCount != slots.count { wrong.append("dead slots miscounted") }
        if bytes != listingBytes { wrong.append("listing bytes miscounted") }
        return wrong
    }
}
