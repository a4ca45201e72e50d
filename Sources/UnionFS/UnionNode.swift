import Glibc
import VFS

/// A node of one layer. Layer 0 is the writable one, the others lie below it in order.
struct LayerNode: Hashable {
    var layer: Int
    var node: NodeID
}

/// One file of a union: where it is in the layers. All mutable state is under the union's lock.
final class UnionNode {
    let number: UInt64
    let kind: NodeKind
    private let table: LayerTable
    /// In the writable layer.
    private(set) var upper: NodeID?
    /// Below it, uppermost first: all directories that are seen as one, or the one file seen.
    let lowers: [LayerNode]
    /// Where it was found last, for copying up; `nil` for the root and for what has no name.
    var place: (parent: UnionNode, name: Name)?
    var lookups: UInt64 = 0
    var opens = 0

    /// Takes over one lookup of each layer's node.
    init(_ table: LayerTable, number: UInt64, kind: NodeKind, upper: NodeID?, lowers: [LayerNode]) {
        self.table = table
        self.number = number
        self.kind = kind
        self.upper = upper
        self.lowers = lowers
    }

    deinit {
        table.dropped(keys)
        if let upper { table.layers[0].forget(upper, count: 1) }
        for lower in lowers { table.layers[lower.layer].forget(lower.node, count: 1) }
    }

    /// What is seen of it.
    var top: LayerNode {
        if let upper { return LayerNode(layer: 0, node: upper) }
        return lowers.first ?? LayerNode(layer: 0, node: NodeID(rawValue: 0))
    }

    /// By what it is found again. A file that was copied up is no longer what its lower one is by another name.
    var keys: [LayerNode] {
        let own = upper.map { [LayerNode(layer: 0, node: $0)] } ?? []
        return kind == .directory || own.isEmpty ? own + lowers.prefix(1) : own
    }

    /// Several directories are seen as one, or one that cannot be changed.
    var isMerged: Bool { kind == .directory && !lowers.isEmpty }

    /// Takes over one lookup of `node`.
    func copiedUp(to node: NodeID) {
        table.lost(self)
        upper = node
        table.found(self)
    }
}

/// The layers, and which of their nodes are known. Outlives the union while a node does.
final class LayerTable: @unchecked Sendable {
    // SAFETY: `known` is used only while `lock` is held.
    private struct Reference { weak var node: UnionNode? }

    let layers: [any FileSystem]
    let lock = RecursiveLock()
    private var known: [LayerNode: Reference] = [:]

    init(_ layers: [any FileSystem]) { self.layers = layers }

    func node(_ place: LayerNode) -> UnionNode? { known[place]?.node }

    func found(_ node: UnionNode) {
        for key in node.keys { known[key] = Reference(node: node) }
    }

    func lost(_ node: UnionNode) {
        for key in node.keys { known[key] = nil }
    }

    /// Of a node that is gone.
    func dropped(_ keys: [LayerNode]) {
        lock.lock()
        defer { lock.unlock() }
        for key in keys where known[key]?.node == nil { known[key] = nil }
    }
}

/// A mutex that its holder may take again: layers' nodes are given back wherever the last reference to one goes.
final class RecursiveLock: @unchecked Sendable {
    // SAFETY: allocated once, so that it never moves; destroyed when nobody can hold it any more.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    init() {
        var attributes = pthread_mutexattr_t()
        pthread_mutexattr_init(&attributes)
        pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_RECURSIVE))
        pthread_mutex_init(mutex, &attributes)
        pthread_mutexattr_destroy(&attributes)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func held<R>(_ body: () throws(VFSError) -> R) throws(VFSError) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    func lock() { pthread_mutex_lock(mutex) }
    func unlock() { pthread_mutex_unlock(mutex) }
}
