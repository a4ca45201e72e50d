/// The tree of all metadata: a B+tree of slotted nodes, updated in place.
///
/// **One operation at a time.** All calls come under the tree lock. A change starts with ``begin(mayUseReserve:)`` and
/// ends with ``keep()`` or ``undo()``; every node is saved before it is first changed, so an operation that needs a node
/// which is not in memory, or space that is not there, is undone to the byte and may run again. Nothing here does I/O.
///
/// **Order.** A child's keys are not below the key its parent has for it, and below the next child's. A key below an
/// interior node's first is looked for in the first child; inserting it there lowers that first key. Leaves may be empty
/// only as the root.
final class Tree {
    let nodeBytes: Int
    let cache: NodeCache
    let space: Space
    private(set) var root: UInt64
    private(set) var rootLevel: Int

    /// Nodes that differ from the device; may also hold ones that no longer do.
    private(set) var dirty: [Node] = []
    private(set) var dirtyCount = 0

    /// Addresses that came to life or died: what is being read from there is stale.
    var nodePlaceChanged: (UInt64) -> Void = { _ in }

    /// What to do once the running change is kept; forgotten when it is undone.
    var afterKeep: [() -> Void] = []

    private var change: UInt64 = 0
    private var isChanging = false
    private var mayUseReserve = false
    private var saved: [Saved] = []
    private var made: [Node] = []
    private var killed: [Node] = []
    private var rootBefore: (UInt64, Int) = (0, 0)

    private enum Saved {
        case node(Node, copy: Node, wasDirty: Bool)
        case item(Node, place: Int, bytes: [UInt8], wasDirty: Bool)
    }

    init(nodeBytes: Int, root: UInt64, rootLevel: Int, cache: NodeCache, space: Space) {
        self.nodeBytes = nodeBytes
        self.root = root
        self.rootLevel = rootLevel
        self.cache = cache
        self.space = space
    }

    var maximumValueBytes: Int { Node.maximumValueBytes(nodeBytes: nodeBytes) }

    func node(_ address: UInt64, level: Int) throws(TreeError) -> Node {
        guard let node = cache[address] else { throw .missingNode(address: address, level: level) }
        guard node.level == level else {
            throw .corrupt("node \(address) has level \(node.level), expected \(level)")
        }
        return node
    }

    // MARK: one change

    func begin(mayUseReserve: Bool) {
        precondition(!isChanging)
        isChanging = true
        change += 1
        self.mayUseReserve = mayUseReserve
        rootBefore = (root, rootLevel)
    }

    func keep() {
        isChanging = false
        saved.removeAll(keepingCapacity: true)
        made.removeAll(keepingCapacity: true)
        for node in killed {
            clean(node)
            cache.remove(node)
            node.isDead = true
        }
        killed.removeAll(keepingCapacity: true)
        space.keep()
        guard !afterKeep.isEmpty else { return }
        let actions = afterKeep
        afterKeep.removeAll()
        for action in actions { action() }
    }

    func undo() {
        isChanging = false
        afterKeep.removeAll()
        for entry in saved.reversed() {
            switch entry {
            case .node(let node, let copy, let wasDirty):
                node.bytes.copyMemory(from: copy.bytes, byteCount: nodeBytes)
                if !wasDirty { clean(node) }
            case .item(let node, let place, let bytes, let wasDirty):
                // SAFETY: `place` and the length were an item's when it was saved.
                bytes.withUnsafeBytes { source in
                    if let start = source.baseAddress {
                        (node.bytes + place).copyMemory(from: start, byteCount: source.count)
                    }
                }
                if !wasDirty { clean(node) }
            }
        }
        for node in made {
            clean(node)
            cache.remove(node)
            node.isDead = true
        }
        saved.removeAll(keepingCapacity: true)
        made.removeAll(keepingCapacity: true)
        killed.removeAll(keepingCapacity: true)
        (root, rootLevel) = rootBefore
        space.undo()
    }

    /// Saves `node` before its first change.
    func touch(_ node: Node) {
        precondition(isChanging)
        guard node.savedBy != change else { return }
        node.savedBy = change
        saved.append(.node(node, copy: Node(copying: node), wasDirty: node.isDirty))
        soil(node)
    }

    /// Saves one item's bytes before they are overwritten in place.
    func touch(_ node: Node, item index: Int) {
        precondition(isChanging)
        guard node.savedBy != change else { return }
        saved.append(
            .item(node, place: node.valuePlace(index), bytes: Array(node.value(index)), wasDirty: node.isDirty))
        soil(node)
    }

    private func soil(_ node: Node) {
        guard !node.isDirty else { return }
        node.isDirty = true
        dirtyCount += 1
        dirty.append(node)
    }

    /// `node` equals the device again, or its bytes no longer matter.
    func clean(_ node: Node) {
        guard node.isDirty else { return }
        node.isDirty = false
        dirtyCount -= 1
    }

    /// The nodes that differ from the device, by address; each is then on its way there.
    /// - Parameter limit: how many at most.
    func takeDirty(limit: Int = .max) -> [Node] {
        var nodes: [Node] = []
        var seen: Set<UInt64> = []
        for node in dirty where node.isDirty && seen.insert(node.address).inserted { nodes.append(node) }
        nodes.sort { $0.address < $1.address }
        let taken = nodes.prefix(limit)
        dirty = Array(nodes.dropFirst(limit))
        for node in taken {
            clean(node)
            node.isInFlight = true
        }
        return Array(taken)
    }

    /// Ends what ``takeDirty(limit:)`` began.
    func landed(_ nodes: [Node], written: Bool) {
        for node in nodes {
            node.isInFlight = false
            if !written, !node.isDead { soil(node) }
        }
        cache.makeRoom()
    }

    func makeNode(level: Int) throws(TreeError) -> Node {
        guard level <= Node.maximumLevel else { throw .noSpace }
        let address = try space.takeNode(mayUseReserve: mayUseReserve)
        if let old = cache[address] { cache.remove(old) }
        nodePlaceChanged(address)
        let node = Node(empty: address, level: level, byteCount: nodeBytes)
        node.savedBy = change
        made.append(node)
        cache.add(node)
        soil(node)
        return node
    }

    func kill(_ node: Node) throws(TreeError) {
        try space.free(node.address, count: space.nodeBlocks)
        nodePlaceChanged(node.address)
        killed.append(node)
    }

    func setRoot(_ address: UInt64, level: Int) {
        root = address
        rootLevel = level
    }
}
