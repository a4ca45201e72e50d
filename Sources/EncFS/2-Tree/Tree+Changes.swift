extension Tree {
    /// Adds an item.
    /// - Throws: `corrupt` when there is one already: callers look first.
    func insert(_ key: ItemKey, _ value: [UInt8]) throws(TreeError) {
        let (cursor, found) = try descend(to: key)
        guard !found else { throw .corrupt("item \(key) exists already") }
        try insert(key, value, at: cursor)
    }

    /// Adds an item or gives it a new value.
    func set(_ key: ItemKey, _ value: [UInt8]) throws(TreeError) {
        let (cursor, found) = try descend(to: key)
        guard found else { return try insert(key, value, at: cursor) }
        let leaf = cursor.leaf
        if leaf.valueLength(cursor.index) == value.count {
            if !FileSabotage.isOn(.forgetDirtyNode) { touch(leaf, item: cursor.index) }
            value.withUnsafeBytes { leaf.overwrite(at: cursor.index, $0) }
        } else {
            touch(leaf)
            leaf.remove(at: cursor.index)
            try insert(key, value, at: cursor)
        }
    }

    /// Removes an item.
    /// - Returns: whether there was one.
    @discardableResult
    func remove(_ key: ItemKey) throws(TreeError) -> Bool {
        let (cursor, found) = try descend(to: key)
        guard found else { return false }
        touch(cursor.leaf)
        cursor.leaf.remove(at: cursor.index)
        try shrink(cursor.path)
        return true
    }

    private func insert(_ key: ItemKey, _ value: [UInt8], at cursor: TreeCursor) throws(TreeError) {
        precondition(value.count <= maximumValueBytes)
        for step in cursor.path.dropLast() where key < step.node.key(0) {
            touch(step.node)
            step.node.lowerKey(of: 0, to: key)
        }
        var key = key
        var value = value
        var depth = cursor.path.count - 1
        var index = cursor.index
        while true {
            let node = cursor.path[depth].node
            touch(node)
            if node.fits(valueBytes: value.count) {
                value.withUnsafeBytes { node.insert(key, $0, at: index) }
                return
            }
            let overflow = Overflow(of: node, adding: key, value, at: index)
            if depth > 0, passOn(overflow, of: node, named: cursor.path[depth - 1]) { return }
            let right = try makeNode(level: node.level)
            overflow.divide(node, right)
            let separator = right.key(0)
            if depth == 0 {
                let top = try makeNode(level: node.level + 1)
                append(.lowest, node.address, to: top)
                append(separator, right.address, to: top)
                setRoot(top.address, level: top.level)
                return
            }
            key = separator
            value = StoredNumbers.encode([right.address])
            depth -= 1
            index = cursor.path[depth].index + 1
        }
    }

    private func append(_ key: ItemKey, _ child: UInt64, to node: Node) {
        StoredNumbers.encode([child]).withUnsafeBytes { node.append(key, $0) }
    }

    /// Gives what a full node has too much to the node to its right, where that is in memory and has room. Without it, keys
    /// that each come just below the last would get a node each.
    /// - Parameter name: the node above, and where it names the full one.
    private func passOn(_ overflow: Overflow, of node: Node, named name: (node: Node, index: Int)) -> Bool {
        let (parent, next) = (name.node, name.index + 1)
        guard next < parent.count, let right = cache[parent.child(next)], right.level == node.level,
            right.usedBytes + overflow.passedBytes <= right.capacity
        else { return false }
        touch(right)
        touch(parent)
        overflow.divide(node, right)
        parent.lowerKey(of: next, to: right.key(0))
        return true
    }

    /// After a removal: an empty node goes, a sparse one joins a neighbour that is in memory, a root with one child
    /// hands over to it. Neighbours are not read for this, so a removal needs nothing beyond its own path.
    private func shrink(_ path: [(node: Node, index: Int)]) throws(TreeError) {
        var depth = path.count - 1
        while depth > 0 {
            let node = path[depth].node
            let (parent, index) = path[depth - 1]
            if node.count == 0 {
                touch(parent)
                parent.remove(at: index)
                try kill(node)
            } else if node.usedBytes < node.capacity / 4 {
                guard try join(node, at: index, of: parent) else { return }
            } else {
                return
            }
            depth -= 1
        }
        let top = path[0].node
        guard !top.isLeaf else { return }
        if top.count == 0 {
            touch(top)
            top.reset(level: 0)
            setRoot(top.address, level: 0)
        } else if top.count == 1 {
            setRoot(top.child(0), level: top.level - 1)
            try kill(top)
        }
    }

    private func join(_ node: Node, at index: Int, of parent: Node) throws(TreeError) -> Bool {
        for (left, right) in [(index, index + 1), (index - 1, index)] where left >= 0 && right < parent.count {
            guard let first = cache[parent.child(left)], let second = cache[parent.child(right)],
                first.level == node.level, second.level == node.level,
                first.usedBytes + second.usedBytes <= node.capacity * 3 / 4
            else { continue }
            touch(first)
            touch(second)
            touch(parent)
            first.append(itemsOf: second)
            parent.remove(at: right)
            try kill(second)
            return true
        }
        return false
    }

    /// Gives a node another place.
    /// - Parameter parent: the interior node above it and the item there that names it; `nil` for the root.
    func relocate(_ node: Node, below parent: (node: Node, index: Int)?) throws(TreeError) {
        let moved = try makeNode(level: node.level)
        moved.append(itemsOf: node)
        if let parent {
            touch(parent.node, item: parent.index)
            StoredNumbers.encode([moved.address]).withUnsafeBytes { parent.node.overwrite(at: parent.index, $0) }
        } else {
            setRoot(moved.address, level: moved.level)
        }
        try kill(node)
    }
}
