/// The items of a full node and one more: what two nodes are to hold.
struct Overflow {
    /// As the node was.
    private let old: Node
    private let key: ItemKey
    private let value: [UInt8]
    /// Where the new one stands among them.
    private let index: Int

    init(of node: Node, adding key: ItemKey, _ value: [UInt8], at index: Int) {
        old = Node(copying: node)
        self.key = key
        self.value = value
        self.index = index
        cut = 0
        cut = chosenCut(node.lastInsertion)
    }

    /// How many of them the node keeps.
    private(set) var cut: Int

    /// Bytes of the others.
    var passedBytes: Int { bytes(cut..<count) }

    private var count: Int { old.count + 1 }

    /// Where items seem to come in ascending order, those behind the new one go, and it with them if it has no room else: so
    /// full nodes are left behind. A new inode's bytes come before its name, so its items do not all come at the end. Other
    /// nodes are cut in the middle.
    private func chosenCut(_ lastInsertion: Int) -> Int {
        if index == old.count || (0...1).contains(index - lastInsertion) {
            return bytes(0..<index + 1) <= old.capacity ? index + 1 : index
        }
        let half = bytes(0..<count) / 2
        var left = 0
        for position in 0..<old.count {
            left += bytes(position)
            if left >= half { return position + 1 }
        }
        return old.count
    }

    private func bytes(_ position: Int) -> Int {
        Node.slotBytes + (position == index ? value.count : old.valueLength(source(position)))
    }

    private func bytes(_ range: Range<Int>) -> Int { range.reduce(0) { $0 + bytes($1) } }

    private func source(_ position: Int) -> Int { position < index ? position : position - 1 }

    /// Leaves `node` the first ``cut`` items; the others go before those of `right`, which has room for them.
    func divide(_ node: Node, _ right: Node) {
        let following = Node(copying: right)
        node.reset(level: old.level)
        right.reset(level: old.level)
        for position in 0..<count {
            let target = position < cut ? node : right
            if position == index {
                value.withUnsafeBytes { target.append(key, $0) }
            } else {
                target.append(old.key(source(position)), old.value(source(position)))
            }
        }
        right.append(itemsOf: following)
        if cut == index { right.lastInsertion = 0 }
    }
}
