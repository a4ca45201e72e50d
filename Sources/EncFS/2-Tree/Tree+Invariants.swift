extension Tree {
    /// Checks order, levels and fill of every node; all of them have to be in memory.
    /// - Throws: `corrupt` with what is wrong, `missingNode`.
    /// - Returns: the number of items.
    @discardableResult
    func checkInvariants() throws(TreeError) -> Int {
        try cache.checkInvariants()
        try space.checkInvariants()
        return try check(root, level: rootLevel, from: nil, below: nil)
    }

    private func check(_ address: UInt64, level: Int, from: ItemKey?, below: ItemKey?) throws(TreeError) -> Int {
        let node = try node(address, level: level)
        do throws(StoredError) { try node.checkInvariants() } catch { throw .corrupt("node \(address): \(error)") }
        guard node.count > 0 || address == root else { throw .corrupt("node \(address) is empty") }
        if let from, node.key(0) < from { throw .corrupt("node \(address) begins before its bound") }
        if let below, node.count > 0, node.key(node.count - 1) >= below {
            throw .corrupt("node \(address) ends behind its bound")
        }
        guard !node.isLeaf else { return node.count }
        var items = 0
        for index in 0..<node.count {
            let next = index + 1 < node.count ? node.key(index + 1) : below
            items += try check(node.child(index), level: level - 1, from: node.key(index), below: next)
        }
        return items
    }
}
