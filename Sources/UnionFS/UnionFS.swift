public import VFS

/// Several filesystems seen as one: a writable layer over others that are only read.
///
/// What a layer has hides what the ones below have by the same name; directories of one name are seen as one. The first
/// change of a file from below copies it up. What is removed and still below is hidden by a whiteout in the writable
/// layer, a character device 0/0, and a directory that replaces one below is opaque (`trusted.overlay.opaque`): the
/// format of Linux's overlayfs, so that the layers can be looked at with it.
///
/// Two things are as overlayfs has them rather than as POSIX wants: a directory that is (also) below cannot be renamed
/// (`EXDEV`, upon which `mv` copies), and copying up one name of a file separates it from its other names. The link count
/// of a merged directory is 1, which stands for unknown. The layers must not be changed by others.
///
/// One lock for names and copying up; data goes to the layers without it.
public final class UnionFS: FileSystem, @unchecked Sendable {
    // SAFETY: what is mutable here and in nodes is used only while `lock` is held.
    private let table: LayerTable
    var layers: [any FileSystem] { table.layers }
    var lock: RecursiveLock { table.lock }
    /// Nodes that callers hold by lookups or opens.
    private var held: [UInt64: UnionNode] = [:]
    private var nextNumber: UInt64 = 2
    private var nextTemporary: UInt64 = 0
    var opens: [UInt64: UnionOpen] = [:]
    private var nextOpen: UInt64 = 1
    private var rootNode: UnionNode?

    public let root = NodeID(rawValue: 1)
    public let traits: Traits

    /// Names of this beginning are the union's own, in the middle of a change: never shown.
    static let temporaryPrefix = Array(".casemate.union.".utf8)
    static let opaqueName = Array("trusted.overlay.opaque".utf8)
    private static let ownAttributes = Array("trusted.overlay.".utf8)

    /// What a crash left of the union's own names in `upper` stays there, hidden.
    /// - Parameters:
    ///   - upper: takes all changes.
    ///   - lowers: at least one, the uppermost first. Never changed.
    /// - Throws: what reading the roots throws.
    public init(upper: any FileSystem, lowers: [any FileSystem]) throws(VFSError) {
        precondition(!lowers.isEmpty, "a union has at least two layers")
        let all = [upper] + lowers
        table = LayerTable(all)
        traits = Traits(
            ownsState: all.allSatisfy(\.traits.ownsState), readOnly: upper.traits.readOnly,
            maximumFileBytes: upper.traits.maximumFileBytes, typeName: "unionfs")
        let node = UnionNode(
            table, number: root.rawValue, kind: .directory, upper: upper.root,
            lowers: lowers.enumerated().map { LayerNode(layer: $0.offset + 1, node: $0.element.root) })
        rootNode = node
        held[node.number] = node
        table.found(node)
    }

    // MARK: nodes

    /// - Throws: `ESTALE`.
    func node(_ id: NodeID) throws(VFSError) -> UnionNode {
        guard let node = held[id.rawValue] else { throw VFSError(.staleNFSFileHandle) }
        return node
    }

    /// - Throws: `ENOTDIR`, `ESTALE`.
    func directory(_ id: NodeID) throws(VFSError) -> UnionNode {
        let node = try node(id)
        guard node.kind == .directory else { throw VFSError(.notDirectory) }
        return node
    }

    func files(_ place: LayerNode) -> any FileSystem { layers[place.layer] }

    /// The node of these layers' nodes, known or new. Takes over one lookup of each.
    func enter(_ kind: NodeKind, upper: NodeID?, lowers: [LayerNode]) -> UnionNode {
        let top = upper.map { LayerNode(layer: 0, node: $0) } ?? lowers.first
        if let top, let node = table.node(top) {
            if let upper { layers[0].forget(upper, count: 1) }
            for lower in lowers { layers[lower.layer].forget(lower.node, count: 1) }
            return node
        }
        let node = UnionNode(table, number: nextNumber, kind: kind, upper: upper, lowers: lowers)
        nextNumber += 1
        table.found(node)
        return node
    }

    /// The number by which a node of a layer is known; one of its own where it is not.
    func number(_ place: LayerNode) -> NodeID {
        if let node = table.node(place) { return NodeID(rawValue: node.number) }
        return NodeID(rawValue: UInt64(place.layer + 1) << 40 | place.node.rawValue & (1 << 40 - 1))
    }

    func temporaryName() throws(VFSError) -> Name {
        nextTemporary += 1
        return try Name(Self.temporaryPrefix + Array(String(nextTemporary).utf8))
    }

    func isHidden(_ name: Name) -> Bool { name.bytes.starts(with: Self.temporaryPrefix) }

    /// An entry to hand out, counted.
    func entry(_ node: UnionNode) throws(VFSError) -> Entry {
        let attributes = try attributes(of: node)
        if node !== rootNode {
            node.lookups += 1
            held[node.number] = node
        }
        return Entry(node: attributes.node, attributes: attributes)
    }

    func attributes(of node: UnionNode) throws(VFSError) -> Attributes {
        let top = node.top
        var attributes = try files(top).attributes(top.node)
        attributes.node = NodeID(rawValue: node.number)
        if node.isMerged { attributes.linkCount = 1 }
        return attributes
    }

    public func forget(_ node: NodeID, count: UInt64) {
        lock.lock()
        defer { lock.unlock() }
        guard node != root, let held = held[node.rawValue] else { return }
        held.lookups -= min(count, held.lookups)
        release(held)
    }

    func release(_ node: UnionNode) {
        if node.lookups == 0, node.opens == 0, node !== rootNode { held[node.number] = nil }
    }

    func addOpen(_ open: UnionOpen) -> Handle {
        let number = nextOpen
        nextOpen += 1
        opens[number] = open
        open.node.opens += 1
        return Handle(rawValue: number)
    }

    // MARK: what concerns all layers

    public func parent(of node: NodeID) throws(VFSError) -> NodeID {
        try lock.held { () throws(VFSError) in
            let directory = try directory(node)
            return NodeID(rawValue: directory.place?.parent.number ?? root.rawValue)
        }
    }

    public func statistics() throws(VFSError) -> Statistics { try layers[0].statistics() }

    public func commit(_ node: NodeID?, dataOnly: Bool) throws(VFSError) -> any DurabilityTicket {
        guard let node else { return try layers[0].commit(nil, dataOnly: dataOnly) }
        let upper = try lock.held { () throws(VFSError) in try self.node(node).upper }
        // What is not in the writable layer did not change.
        guard let upper else { return ImmediateTicket() }
        return try layers[0].commit(upper, dataOnly: dataOnly)
    }

    func isOwn(_ attribute: [UInt8]) -> Bool { attribute.starts(with: Self.ownAttributes) }
}

extension Attributes {
    /// How overlayfs marks what is removed and still below.
    var isWhiteout: Bool { kind == .characterDevice && device == 0 }
}
