public import VFS

/// An open of a union's file: of its node in one layer, and after copying up of the one above.
final class UnionOpen {
    let node: UnionNode
    let flags: OpenFlags
    fileprivate(set) var place: LayerNode
    fileprivate(set) var handle: Handle
    /// Of a directory: what its scan goes through.
    var listed: [UnionFS.Listed]?

    init(_ node: UnionNode, _ flags: OpenFlags, _ place: LayerNode, _ handle: Handle) {
        self.node = node
        self.flags = flags
        self.place = place
        self.handle = handle
    }
}

extension UnionFS {
    public func open(_ node: NodeID, _ flags: OpenFlags) throws(VFSError) -> Handle {
        try lock.held { () throws(VFSError) in
            let node = try self.node(node)
            if !flags.isDisjoint(with: [.write, .truncate]), node.kind == .regular { try copyUp(node) }
            let place = node.top
            let handle = try files(place).open(place.node, flags)
            return addOpen(UnionOpen(node, flags, place, handle))
        }
    }

    public func close(_ node: NodeID, _ handle: Handle) {
        lock.lock()
        defer { lock.unlock() }
        guard let open = opens.removeValue(forKey: handle.rawValue) else { return }
        files(open.place).close(open.place.node, open.handle)
        open.node.opens -= 1
        release(open.node)
    }

    /// Where an open's data is now: a copy above shows through opens from before.
    private func current(_ node: NodeID, _ handle: Handle) throws(VFSError) -> (LayerNode, Handle) {
        try lock.held { () throws(VFSError) in
            guard let open = opens[handle.rawValue] else { return (try self.node(node).top, .none) }
            if open.place.layer > 0, open.node.upper != nil {
                let place = open.node.top
                let new = try files(place).open(place.node, open.flags)
                files(open.place).close(open.place.node, open.handle)
                open.place = place
                open.handle = new
            }
            return (open.place, open.handle)
        }
    }

    /// As ``current(_:_:)``, in the writable layer.
    private func writable(_ node: NodeID, _ handle: Handle) throws(VFSError) -> (NodeID, Handle) {
        _ = try lock.held { () throws(VFSError) in try copyUp(self.node(node)) }
        let (place, inner) = try current(node, handle)
        return (place.node, inner)
    }

    public func read(
        _ node: NodeID, _ handle: Handle, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(VFSError) -> Int {
        let (place, inner) = try current(node, handle)
        return try files(place).read(place.node, inner, at: offset, into: buffer)
    }

    public func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags
    ) throws(VFSError) -> Written {
        let (upper, inner) = try writable(node, handle)
        return try layers[0].write(upper, inner, at: position, bytes, flags)
    }

    public func allocate(_ node: NodeID, _ handle: Handle, _ range: Range<UInt64>, _ mode: AllocationMode)
        throws(VFSError)
    {
        let (upper, inner) = try writable(node, handle)
        try layers[0].allocate(upper, inner, range, mode)
    }

    public func clone(
        _ source: NodeID, _ range: Range<UInt64>, to target: NodeID, at offset: UInt64, _ flags: WriteFlags
    ) throws(VFSError) {
        let (from, to) = try lock.held { () throws(VFSError) in
            (try self.node(source).upper, try copyUp(self.node(target)))
        }
        // Between layers nothing can be shared.
        guard let from else { throw VFSError(.notSupported) }
        try layers[0].clone(from, range, to: to, at: offset, flags)
    }

    public func seek(_ node: NodeID, _ handle: Handle, from offset: UInt64, to target: SeekTarget)
        throws(VFSError) -> UInt64
    {
        let (place, inner) = try current(node, handle)
        return try files(place).seek(place.node, inner, from: offset, to: target)
    }

    public func setAttributes(_ node: NodeID, _ change: AttributeChange, by caller: Caller)
        throws(VFSError) -> Attributes
    {
        try lock.held { () throws(VFSError) in
            let node = try self.node(node)
            _ = try layers[0].setAttributes(copyUp(node), change, by: caller)
            return try attributes(of: node)
        }
    }

    public func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) -> [UInt8] {
        guard !isOwn(name) else { throw VFSError(.noSuchAttribute) }
        let top = try lock.held { () throws(VFSError) in try self.node(node).top }
        return try files(top).extendedAttribute(name, of: top.node)
    }

    public func extendedAttributeNames(of node: NodeID) throws(VFSError) -> [[UInt8]] {
        let top = try lock.held { () throws(VFSError) in try self.node(node).top }
        return try files(top).extendedAttributeNames(of: top.node).filter { !isOwn($0) }
    }

    public func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], _ mode: AttributeWriteMode
    ) throws(VFSError) {
        guard !isOwn(name) else { throw VFSError(.notPermitted) }
        let upper = try lock.held { () throws(VFSError) in try copyUp(self.node(node)) }
        try layers[0].setExtendedAttribute(name, of: upper, to: value, mode)
    }

    public func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) {
        guard !isOwn(name) else { throw VFSError(.noSuchAttribute) }
        let upper = try lock.held { () throws(VFSError) in try copyUp(self.node(node)) }
        try layers[0].removeExtendedAttribute(name, of: upper)
    }
}
