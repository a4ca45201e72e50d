/// A place in the tree: an item, and the way to it. Valid until the tree changes or its lock is released.
struct TreeCursor {
    var path: [(node: Node, index: Int)]

    var leaf: Node { path[path.count - 1].node }
    var index: Int { path[path.count - 1].index }
    var key: ItemKey { leaf.key(index) }
    var value: UnsafeRawBufferPointer { leaf.value(index) }
}

extension Tree {
    /// The way to the leaf that covers `key`, ending at the first item not below it (perhaps behind the last).
    func descend(to key: ItemKey) throws(TreeError) -> (cursor: TreeCursor, found: Bool) {
        var path: [(node: Node, index: Int)] = []
        path.reserveCapacity(rootLevel + 1)
        var node = try node(root, level: rootLevel)
        while !node.isLeaf {
            let index = node.childIndex(key)
            path.append((node, index))
            node = try self.node(node.child(index), level: node.level - 1)
        }
        let (index, found) = node.search(key)
        path.append((node, index))
        return (TreeCursor(path: path), found)
    }

    /// The value of `key`; valid until the tree changes or its lock is released.
    func value(of key: ItemKey) throws(TreeError) -> UnsafeRawBufferPointer? {
        var node = try node(root, level: rootLevel)
        while !node.isLeaf { node = try self.node(node.child(node.childIndex(key)), level: node.level - 1) }
        let (index, found) = node.search(key)
        return found ? node.value(index) : nil
    }

    /// The first item not below `key`.
    func first(from key: ItemKey) throws(TreeError) -> TreeCursor? {
        let (cursor, _) = try descend(to: key)
        if cursor.index < cursor.leaf.count { return cursor }
        return try stepToNextLeaf(cursor)
    }

    /// The last item not above `key`.
    func last(upTo key: ItemKey) throws(TreeError) -> TreeCursor? {
        let (cursor, found) = try descend(to: key)
        return found ? cursor : try previous(cursor)
    }

    func next(_ cursor: TreeCursor) throws(TreeError) -> TreeCursor? {
        var cursor = cursor
        cursor.path[cursor.path.count - 1].index += 1
        if cursor.index < cursor.leaf.count { return cursor }
        return try stepToNextLeaf(cursor)
    }

    func previous(_ cursor: TreeCursor) throws(TreeError) -> TreeCursor? {
        var cursor = cursor
        if cursor.index > 0 {
            cursor.path[cursor.path.count - 1].index -= 1
            return cursor
        }
        var depth = cursor.path.count - 2
        while depth >= 0, cursor.path[depth].index == 0 { depth -= 1 }
        guard depth >= 0 else { return nil }
        cursor.path[depth].index -= 1
        return try descendEdge(cursor, from: depth, last: true)
    }

    private func stepToNextLeaf(_ cursor: TreeCursor) throws(TreeError) -> TreeCursor? {
        var cursor = cursor
        var depth = cursor.path.count - 2
        while depth >= 0, cursor.path[depth].index + 1 >= cursor.path[depth].node.count { depth -= 1 }
        guard depth >= 0 else { return nil }
        cursor.path[depth].index += 1
        return try descendEdge(cursor, from: depth, last: false)
    }

    /// Follows the child at `depth` down its first or last edge.
    private func descendEdge(_ cursor: TreeCursor, from depth: Int, last: Bool) throws(TreeError) -> TreeCursor {
        var cursor = cursor
        for position in depth..<cursor.path.count - 1 {
            let (parent, index) = cursor.path[position]
            let node = try node(parent.child(index), level: parent.level - 1)
            guard node.count > 0 else { throw .corrupt("node \(node.address) is empty") }
            cursor.path[position + 1] = (node, last ? node.count - 1 : 0)
        }
        return cursor
    }
}
