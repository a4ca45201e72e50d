extension FileSystem {
    /// Shares as much of a copy of `count` bytes as can be shared.
    /// - Parameter limit: bytes to share at most.
    /// - Returns: how many bytes, from the begin, need no copying; 0 where nothing can be shared.
    package func cloneLeading(
        _ source: NodeID, at offset: UInt64, to target: NodeID, at targetOffset: UInt64, count: UInt64,
        limit: UInt64, _ flags: WriteFlags
    ) throws(VFSError) -> UInt64 {
        let unit: UInt64 = 4096
        guard offset % unit == 0, targetOffset % unit == 0 else { return 0 }
        let size = try attributes(source).size
        guard offset < size else { return 0 }
        var shared = min(count, limit, size - offset)
        // The last, partly filled block goes along where it ends both files.
        if shared % unit != 0 {
            let targetSize = try attributes(target).size
            if offset + shared != size || targetOffset + shared < targetSize { shared -= shared % unit }
        }
        guard shared > 0 else { return 0 }
        do throws(VFSError) {
            try clone(source, offset..<offset + shared, to: target, at: targetOffset, flags)
        } catch {
            // Cannot be shared here: bytes are copied, and errors of their own come with that.
            guard [.notSupported, .invalidArgument, .improperLink].contains(error.errno) else { throw error }
            return 0
        }
        return shared
    }
}
