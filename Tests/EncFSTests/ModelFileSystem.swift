import VFS

@testable import EncFS

/// What a filesystem should hold, kept as plainly as possible.
struct ModelFileSystem: Equatable {
    struct Node: Equatable {
        var kind: NodeKind
        var permissions: UInt16
        var data: [UInt8] = []
        var children: [String: Int] = [:]
        var attributes: [String: [UInt8]] = [:]
        var links = 0
    }

    var nodes: [Int: Node] = [0: Node(kind: .directory, permissions: 0o755)]
    var nextID = 1

    func lookup(_ path: [String]) -> Int? {
        var position = 0
        for name in path {
            guard let next = nodes[position]?.children[name] else { return nil }
            position = next
        }
        return position
    }

    /// All paths of the tree, parents first.
    func paths() -> [([String], Int)] {
        var found: [([String], Int)] = [([], 0)]
        var next = 0
        while next < found.count {
            let (path, id) = found[next]
            next += 1
            for (name, child) in (nodes[id]?.children ?? [:]).sorted(by: { $0.key < $1.key }) {
                found.append((path + [name], child))
            }
        }
        return found
    }

    mutating func unlink(_ name: String, in directory: Int) {
        guard let id = nodes[directory]?.children.removeValue(forKey: name) else { return }
        nodes[id]?.links -= 1
        if nodes[id]?.links == 0 { nodes[id] = nil }
    }

    mutating func add(_ id: Int, as name: String, in directory: Int) {
        nodes[directory]?.children[name] = id
        nodes[id]?.links += 1
    }

    func contains(_ id: Int, below ancestor: Int) -> Bool {
        if id == ancestor { return true }
        return nodes[ancestor]?.children.values.contains { contains(id, below: $0) } ?? false
    }
}

/// The first difference between a mounted filesystem and a model, if any.
func difference(_ files: EncFS, _ model: ModelFileSystem) throws -> String? {
    var numbers: [Int: NodeID] = [:]
    var expectedLinks: [Int: UInt32] = [:]
    for (path, id) in model.paths() {
        let text = "/" + path.joined(separator: "/")
        guard let node = model.nodes[id] else { return "model \(text)" }
        var number = files.root
        for name in path { number = try files.find(name, in: number) }
        if let known = numbers[id], known != number { return "\(text): two inodes for one" }
        numbers[id] = number
        let attributes = try files.attributes(number)
        if attributes.kind != node.kind { return "\(text): kind \(attributes.kind)" }
        if attributes.permissions != node.permissions { return "\(text): permissions \(attributes.permissions)" }
        expectedLinks[id] =
            node.kind == .directory
            ? 2 + UInt32(node.children.values.count { model.nodes[$0]?.kind == .directory }) : UInt32(node.links)
        if attributes.linkCount != expectedLinks[id] { return "\(text): \(attributes.linkCount) links" }
        switch node.kind {
        case .directory:
            let names = try files.names(in: number)
            if names.sorted() != node.children.keys.sorted() { return "\(text): \(names)" }
        case .regular:
            if attributes.size != UInt64(node.data.count) { return "\(text): size \(attributes.size)" }
            let data = try files.read(number, count: node.data.count + 1)
            if data != node.data { return "\(text): data differs" }
        case .symbolicLink:
            if try files.readLink(number) != node.data { return "\(text): target" }
        default: break
        }
        let names = try files.extendedAttributeNames(of: number).map { String(decoding: $0, as: UTF8.self) }
        if names.sorted() != node.attributes.keys.sorted() { return "\(text): attributes \(names)" }
        for (name, value) in node.attributes {
            if try files.extendedAttribute(Array(name.utf8), of: number) != value { return "\(text): \(name)" }
        }
    }
    return nil
}
