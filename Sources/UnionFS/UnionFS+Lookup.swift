public import VFS

extension UnionFS {
    /// What the layers have by one name.
    struct Found {
        var upper: Entry?
        /// The writable layer hides what is below.
        var isWhiteout = false
        var lowers: [(place: LayerNode, kind: NodeKind)] = []

        var kind: NodeKind? { isWhiteout ? nil : upper?.attributes.kind ?? lowers.first?.kind }
        var exists: Bool { kind != nil }
    }

    private func lookup(_ name: Name, _ directory: LayerNode) throws(VFSError) -> Entry? {
        do throws(VFSError) { return try files(directory).lookup(name, in: directory.node) } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            return nil
        }
    }

    private func isOpaque(_ place: LayerNode) throws(VFSError) -> Bool {
        do throws(VFSError) {
            return try files(place).extendedAttribute(Self.opaqueName, of: place.node) == [UInt8(ascii: "y")]
        } catch {
            guard error.errno == .noSuchAttribute || error.errno == .notSupported else { throw error }
            return false
        }
    }

    /// Looks through the layers of a directory; each node found carries one lookup, to be given back by ``drop(_:)`` or
    /// handed over to ``enter(_:upper:lowers:)``.
    func find(_ name: Name, in directory: UnionNode) throws(VFSError) -> Found {
        var found = Found()
        guard !isHidden(name) else { return found }
        do throws(VFSError) {
            if let upper = directory.upper, let entry = try lookup(name, LayerNode(layer: 0, node: upper)) {
                found.upper = entry
                found.isWhiteout = entry.attributes.isWhiteout
            }
            // Below a file or an opaque directory nothing is seen; whether something is there matters for removal.
            for lower in directory.lowers {
                guard let entry = try lookup(name, lower) else { continue }
                let place = LayerNode(layer: lower.layer, node: entry.node)
                guard !entry.attributes.isWhiteout else {
                    layers[lower.layer].forget(entry.node, count: 1)
                    break
                }
                found.lowers.append((place, entry.attributes.kind))
                if entry.attributes.kind != .directory { break }
                if try isOpaque(place) { break }
            }
        } catch {
            drop(found)
            throw error
        }
        return found
    }

    func drop(_ found: Found) {
        if let upper = found.upper { layers[0].forget(upper.node, count: 1) }
        for lower in found.lowers { layers[lower.place.layer].forget(lower.place.node, count: 1) }
    }

    /// The node that is seen, at its place; `nil` where nothing is. Takes the lookups over.
    func seen(_ found: Found, _ name: Name, in directory: UnionNode) throws(VFSError) -> UnionNode? {
        guard let kind = found.kind else {
            drop(found)
            return nil
        }
        var lowers: [LayerNode] = []
        var hidden = false
        if let upper = found.upper {
            hidden = upper.attributes.kind != .directory
            if !hidden { hidden = try isOpaque(LayerNode(layer: 0, node: upper.node)) }
        }
        for lower in found.lowers {
            if !hidden, lower.kind == .directory || kind != .directory && lowers.isEmpty {
                lowers.append(lower.place)
            } else {
                hidden = true
                layers[lower.place.layer].forget(lower.place.node, count: 1)
            }
            if lower.kind != .directory { hidden = true }
        }
        let node = enter(kind, upper: found.upper?.node, lowers: lowers)
        node.place = (directory, name)
        return node
    }

    public func lookup(_ name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        try lock.held { () throws(VFSError) in
            let parent = try self.directory(directory)
            guard let node = try seen(find(name, in: parent), name, in: parent) else {
                throw VFSError(.noSuchFileOrDirectory)
            }
            return try entry(node)
        }
    }

    public func attributes(_ node: NodeID) throws(VFSError) -> Attributes {
        try lock.held { () throws(VFSError) in try attributes(of: self.node(node)) }
    }

    public func readLink(_ node: NodeID) throws(VFSError) -> [UInt8] {
        let top = try lock.held { () throws(VFSError) in try self.node(node).top }
        return try files(top).readLink(top.node)
    }
}
