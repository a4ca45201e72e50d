import VFS

// What the searches do to any filesystem, without the ceremony.

extension FileSystem {
    @discardableResult
    func make(
        _ name: String, in directory: NodeID? = nil, kind: NodeKind = .regular, permissions: UInt16 = 0o644,
        target: String = ""
    ) throws(VFSError) -> NodeID {
        let new = NewNode(kind: kind, permissions: permissions, target: Array(target.utf8))
        let entry = try make(new, named: Name(name), in: directory ?? root, by: .root)
        forget(entry.node, count: 1)
        return entry.node
    }

    func find(_ name: String, in directory: NodeID? = nil) throws(VFSError) -> NodeID {
        let entry = try lookup(Name(name), in: directory ?? root)
        forget(entry.node, count: 1)
        return entry.node
    }

    func write(_ bytes: [UInt8], to node: NodeID, at offset: UInt64) throws(VFSError) {
        let count = try bytes.withRawBytes { bytes throws(VFSError) in
            try write(node, .none, at: .offset(offset), bytes, []).count
        }
        guard count == bytes.count else { throw VFSError(.ioError, fault: "a short write") }
    }

    func read(_ node: NodeID, at offset: UInt64 = 0, count: Int) throws(VFSError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        let got = try bytes.withMutableRawBytes { bytes throws(VFSError) in
            try read(node, .none, at: offset, into: bytes)
        }
        return Array(bytes.prefix(got))
    }

    func setSize(_ size: UInt64, of node: NodeID) throws(VFSError) {
        var change = AttributeChange()
        change.size = size
        _ = try setAttributes(node, change, by: .root)
    }

    func remove(_ name: String, in directory: NodeID? = nil, kind: RemovalKind = .nonDirectory) throws(VFSError) {
        try remove(Name(name), in: directory ?? root, kind)
    }

    func sync() throws(VFSError) { try commit(nil, dataOnly: false).wait() }

    /// Every name with all that can be seen of it but times, sorted: equal for equal filesystems of any kind.
    /// - Parameter dataBytes: so many bytes of each file count, from its begin.
    package func dump(dataBytes: UInt64 = 1 << 24) throws(VFSError) -> [String] {
        var lines: [String] = []
        var directories: [(path: String, node: NodeID)] = [("", root)]
        while let (path, directory) = directories.popLast() {
            for name in try names(in: directory) {
                let entry = try lookup(name, in: directory)
                defer { forget(entry.node, count: 1) }
                lines.append("\(path)/\(name) " + (try seen(of: entry, dataBytes)))
                if entry.attributes.kind == .directory { directories.append(("\(path)/\(name)", entry.node)) }
            }
        }
        return lines.sorted()
    }

    private func names(in directory: NodeID) throws(VFSError) -> [Name] {
        var names: [Name] = []
        try readDirectory(directory, .none, after: .start, plus: false) {
            names.append($0.name)
            return true
        }
        return names
    }

    /// What a file shows but its name.
    private func seen(of entry: Entry, _ dataBytes: UInt64) throws(VFSError) -> String {
        let attributes = entry.attributes
        var line = "\(attributes.kind) \(attributes.permissions) \(attributes.linkCount)"
        switch attributes.kind {
        case .regular:
            let bytes = try read(entry.node, count: Int(clamping: min(attributes.size, dataBytes)))
            line += " \(attributes.size) \(fingerprint(bytes))"
        case .symbolicLink: line += " \(String(decoding: try readLink(entry.node), as: UTF8.self))"
        default: break
        }
        let names = try extendedAttributeNames(of: entry.node)
        for name in names.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            let value = try extendedAttribute(name, of: entry.node)
            line += " \(String(decoding: name, as: UTF8.self)) \(fingerprint(value))"
        }
        return line
    }
}

/// FNV-1a (Fowler, Noll and Vo).
private func fingerprint(_ bytes: [UInt8]) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return "\(bytes.count):\(String(hash, radix: 16))"
}

extension [UInt8] {
    /// Bytes that follow from a seed.
    static func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
    }
}
