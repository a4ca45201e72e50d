/// The nodes in memory, bounded: clean nodes nobody needs leave, by the clock algorithm.
///
/// Used only under the tree lock.
final class NodeCache {
    private var nodes: [UInt64: Node] = [:]
    private var ring: [Node] = []
    private var hand = 0
    let limit: Int

    /// - Parameter limit: nodes to keep; more stay while they are dirty, pinned or on their way to the device.
    init(limit: Int) { self.limit = max(64, limit) }

    subscript(address: UInt64) -> Node? {
        guard let node = nodes[address] else { return nil }
        node.isReferenced = true
        return node
    }

    func add(_ node: Node) {
        nodes[node.address] = node
        node.cacheIndex = ring.count
        ring.append(node)
    }

    func remove(_ node: Node) {
        guard nodes[node.address] === node else { return }
        nodes[node.address] = nil
        let index = node.cacheIndex
        let last = ring.removeLast()
        if last !== node {
            ring[index] = last
            last.cacheIndex = index
        }
        node.cacheIndex = -1
    }

    /// Makes room for one more. Not while an operation runs: it may hold nodes that are not pinned.
    func makeRoom() { evict(to: limit - 1) }

    private func evict(to target: Int) {
        // Two rounds: the first may only take the marks away.
        var steps = 2 * ring.count
        while ring.count > target, steps > 0 {
            steps -= 1
            if hand >= ring.count { hand = 0 }
            let node = ring[hand]
            if node.isDirty || node.isInFlight || node.pins > 0 {
                hand += 1
            } else if node.isReferenced {
                node.isReferenced = false
                hand += 1
            } else {
                remove(node)
            }
        }
    }

    func checkInvariants() throws(TreeError) {
        guard nodes.count == ring.count else { throw .corrupt("cache counts differ") }
        for (index, node) in ring.enumerated() {
            guard node.cacheIndex == index, nodes[node.address] === node, !node.isDead else {
                throw .corrupt("cache place of node \(node.address)")
            }
        }
    }
}
