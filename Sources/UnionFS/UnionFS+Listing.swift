public import VFS

extension UnionFS {
    /// An entry as seen, in the order of the layers.
    struct Listed {
        var name: Name
        var place: LayerNode
        var kind: NodeKind
    }

    /// Everything seen in a directory.
    func list(_ directory: UnionNode) throws(VFSError) -> [Listed] {
        var seen: Set<Name> = []
        var listed: [Listed] = []
        let places = (directory.upper.map { [LayerNode(layer: 0, node: $0)] } ?? []) + directory.lowers
        for place in places {
            let handle = try files(place).open(place.node, [.read, .directory])
            defer { files(place).close(place.node, handle) }
            var devices: [(index: Int, name: Name)] = []
            try files(place).readDirectory(place.node, handle, after: .start, plus: false) { entry in
                guard !isHidden(entry.name), seen.insert(entry.name).inserted else { return true }
                if entry.kind == .characterDevice { devices.append((listed.count, entry.name)) }
                listed.append(
                    Listed(
                        name: entry.name, place: LayerNode(layer: place.layer, node: entry.node), kind: entry.kind))
                return true
            }
            for device in devices.reversed() {
                let entry = try files(place).lookup(device.name, in: place.node)
                files(place).forget(entry.node, count: 1)
                if entry.attributes.isWhiteout { listed.remove(at: device.index) }
            }
        }
        return listed
    }

    func isEmpty(_ directory: UnionNode) throws(VFSError) -> Bool { try list(directory).isEmpty }

    /// A scan that begins at the start sees the directory as it is then; cookies count its entries.
    public func readDirectory(
        _ node: NodeID, _ handle: Handle, after cookie: DirectoryCookie, plus: Bool,
        _ body: (DirectoryEntry) -> Bool
    ) throws(VFSError) {
        let (directory, listed) = try lock.held { () throws(VFSError) -> (UnionNode, [Listed]) in
            let directory = try self.directory(node)
            if cookie != .start, let kept = opens[handle.rawValue]?.listed { return (directory, kept) }
            let listed = try list(directory)
            opens[handle.rawValue]?.listed = listed
            return (directory, listed)
        }
        // 1 and 2 are the front's.
        var index = cookie.rawValue < 3 ? 0 : Int(clamping: cookie.rawValue - 2)
        while index < listed.count {
            let item = listed[index]
            index += 1
            let entry = try lock.held { () throws(VFSError) -> DirectoryEntry? in
                var entry = DirectoryEntry(
                    name: item.name, node: number(item.place), kind: item.kind,
                    cookie: DirectoryCookie(rawValue: UInt64(index + 2)))
                guard plus else { return entry }
                // Gone meanwhile.
                guard let node = try seen(find(item.name, in: directory), item.name, in: directory) else {
                    return nil
                }
                let looked = try self.entry(node)
                entry.node = looked.node
                entry.attributes = looked.attributes
                return entry
            }
            guard let entry else { continue }
            guard body(entry) else {
                if plus { forget(entry.node, count: 1) }
                return
            }
        }
    }
}
