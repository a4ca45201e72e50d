import VFS

/// Bringing files into the writable layer before their first change. Under the lock.
extension UnionFS {
    private static let copyBytes = 1 << 18

    /// Gives a node a place in the writable layer, with all that it is, and the directories above it as well.
    /// - Returns: its node there.
    /// - Throws: `EROFS`, `ENOSPC`, `EIO`.
    @discardableResult
    func copyUp(_ node: UnionNode) throws(VFSError) -> NodeID {
        if let upper = node.upper { return upper }
        guard !traits.readOnly else { throw VFSError(.readOnlyFileSystem) }
        let source = node.top
        let attributes = try files(source).attributes(source.node)
        // What has no name any more gets none above.
        let parent = try node.place.map { place throws(VFSError) in try copyUp(place.parent) }
        let name = node.place?.name
        var new = NewNode(kind: node.kind, permissions: attributes.permissions & 0o777, device: attributes.device)
        if node.kind == .symbolicLink { new.target = try files(source).readLink(source.node) }
        let owner = Caller(user: attributes.owner, group: attributes.group)
        guard node.kind == .regular else {
            // Made aside and moved into place whole.
            guard let parent, let name else { throw VFSError(.noSuchFileOrDirectory) }
            let temporary = try temporaryName()
            let made = try layers[0].make(new, named: temporary, in: parent, by: owner)
            do throws(VFSError) {
                try copyAttributes(attributes, from: source, to: made.node)
                try layers[0].rename(temporary, in: parent, to: name, in: parent, .noReplace)
            } catch {
                try discard(temporary, in: parent, node.kind == .directory ? .directory : .nonDirectory, made.node)
                throw error
            }
            node.copiedUp(to: made.node)
            return made.node
        }
        let made = try layers[0].make(new, named: nil, in: parent ?? layers[0].root, by: owner)
        do throws(VFSError) {
            try copyData(from: source, to: made.node, size: attributes.size)
            try copyAttributes(attributes, from: source, to: made.node)
            if let parent, let name {
                _ = try layers[0].link(made.node, as: name, in: parent)
                layers[0].forget(made.node, count: 1)
            }
        } catch {
            layers[0].forget(made.node, count: 1)
            throw error
        }
        node.copiedUp(to: made.node)
        return made.node
    }

    /// Takes back what a failed change made.
    func discard(
        _ temporary: Name, in directory: NodeID, _ kind: RemovalKind, _ node: NodeID
    ) throws(VFSError) {
        layers[0].forget(node, count: 1)
        try layers[0].remove(temporary, in: directory, kind)
    }

    private func copyData(from source: LayerNode, to target: NodeID, size: UInt64) throws(VFSError) {
        let below = files(source)
        let reading = try below.open(source.node, [.read, .noAccessTime])
        defer { below.close(source.node, reading) }
        let writing = try layers[0].open(target, .write)
        defer { layers[0].close(target, writing) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.copyBytes, alignment: 4096)
        defer { buffer.deallocate() }
        var position: UInt64 = 0
        while position < size {
            // Holes stay holes.
            do throws(VFSError) {
                position = try below.seek(source.node, reading, from: position, to: .data)
            } catch {
                if error.errno == .noSuchAddressOrDevice { break }
                guard error.errno == .noFunction else { throw error }
            }
            let count = try below.read(source.node, reading, at: position, into: buffer)
            guard count > 0 else { break }
            var done = 0
            while done < count {
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[done..<count])
                done += try layers[0].write(target, writing, at: .offset(position + UInt64(done)), bytes, []).count
            }
            position += UInt64(count)
        }
        var change = AttributeChange()
        change.size = size
        _ = try layers[0].setAttributes(target, change, by: .root)
    }

    private func copyAttributes(
        _ attributes: Attributes, from source: LayerNode, to target: NodeID
    ) throws(VFSError) {
        var names: [[UInt8]] = []
        do throws(VFSError) { names = try files(source).extendedAttributeNames(of: source.node) } catch {
            guard error.errno == .notSupported else { throw error }
        }
        for name in names where !isOwn(name) {
            let value = try files(source).extendedAttribute(name, of: source.node)
            try layers[0].setExtendedAttribute(name, of: target, to: value, .createOrReplace)
        }
        var change = AttributeChange()
        change.owner = attributes.owner
        change.group = attributes.group
        if attributes.kind != .symbolicLink { change.permissions = attributes.permissions }
        change.accessTime = .exact(attributes.accessTime)
        change.modificationTime = .exact(attributes.modificationTime)
        _ = try layers[0].setAttributes(target, change, by: .root)
    }

    func makeOpaque(_ directory: NodeID) throws(VFSError) {
        try layers[0].setExtendedAttribute(
            Self.opaqueName, of: directory, to: [UInt8(ascii: "y")], .createOrReplace)
    }

    /// Makes a whiteout aside.
    func makeWhiteout(in directory: NodeID) throws(VFSError) -> Name {
        let temporary = try temporaryName()
        let made = try layers[0].make(
            NewNode(kind: .characterDevice, permissions: 0), named: temporary, in: directory, by: .root)
        layers[0].forget(made.node, count: 1)
        return temporary
    }
}
