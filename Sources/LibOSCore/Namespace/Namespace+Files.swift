import Synchronization
public import VFS

extension Namespace {
    public func attributes(_ node: NodeID) throws(VFSError) -> Attributes {
        let (mount, inner) = try resolve(node)
        return try mount.outward(mount.files.attributes(inner))
    }

    public func setAttributes(_ node: NodeID, _ change: AttributeChange, by caller: Caller)
        throws(VFSError) -> Attributes
    {
        let (mount, inner) = try resolve(node)
        try mount.requireWritable()
        return try mount.outward(mount.files.setAttributes(inner, change, by: caller))
    }

    public func open(_ node: NodeID, _ flags: OpenFlags) throws(VFSError) -> Handle {
        let (mount, inner) = try resolve(node)
        if !flags.isDisjoint(with: [.write, .truncate]) { try mount.requireWritable() }
        // Counted first, so that an unmount that saw no open cannot overtake one that is on its way.
        mount.opens.add(1, ordering: .sequentiallyConsistent)
        do throws(VFSError) {
            return try mount.files.open(inner, flags)
        } catch {
            mount.opens.subtract(1, ordering: .sequentiallyConsistent)
            throw error
        }
    }

    public func close(_ node: NodeID, _ handle: Handle) {
        do throws(VFSError) {
            let (mount, inner) = try resolve(node)
            mount.files.close(inner, handle)
            mount.opens.subtract(1, ordering: .sequentiallyConsistent)
        } catch {
            // No mount goes while it has opens, so the node was never one of ours.
        }
    }

    public func read(
        _ node: NodeID, _ handle: Handle, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    )
        throws(VFSError) -> Int
    {
        let (mount, inner) = try resolve(node)
        return try mount.files.read(inner, handle, at: offset, into: buffer)
    }

    public func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags
    ) throws(VFSError) -> Written {
        let (mount, inner) = try resolve(node)
        try mount.requireWritable()
        return try mount.files.write(inner, handle, at: position, bytes, flags)
    }

    public func allocate(_ node: NodeID, _ handle: Handle, _ range: Range<UInt64>, _ mode: AllocationMode)
        throws(VFSError)
    {
        let (mount, inner) = try resolve(node)
        try mount.requireWritable()
        try mount.files.allocate(inner, handle, range, mode)
    }

    /// - Throws: `EXDEV` into another mount.
    public func clone(
        _ source: NodeID, _ range: Range<UInt64>, to target: NodeID, at offset: UInt64, _ flags: WriteFlags
    ) throws(VFSError) {
        let from = try resolve(source)
        let to = try resolve(target)
        guard from.mount === to.mount else { throw VFSError(.improperLink) }
        try to.mount.requireWritable()
        try to.mount.files.clone(from.node, range, to: to.node, at: offset, flags)
    }

    public func seek(_ node: NodeID, _ handle: Handle, from offset: UInt64, to target: SeekTarget)
        throws(VFSError) -> UInt64
    {
        let (mount, inner) = try resolve(node)
        return try mount.files.seek(inner, handle, from: offset, to: target)
    }

    public func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) -> [UInt8] {
        let (mount, inner) = try resolve(node)
        return try mount.files.extendedAttribute(name, of: inner)
    }

    public func extendedAttributeNames(of node: NodeID) throws(VFSError) -> [[UInt8]] {
        let (mount, inner) = try resolve(node)
        return try mount.files.extendedAttributeNames(of: inner)
    }

    public func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], _ mode: AttributeWriteMode
    ) throws(VFSError) {
        let (mount, inner) = try resolve(node)
        try mount.requireWritable()
        try mount.files.setExtendedAttribute(name, of: inner, to: value, mode)
    }

    public func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) {
        let (mount, inner) = try resolve(node)
        try mount.requireWritable()
        try mount.files.removeExtendedAttribute(name, of: inner)
    }
}
