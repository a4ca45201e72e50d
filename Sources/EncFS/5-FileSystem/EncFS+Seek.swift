import VFS

extension EncFS {
    public func seek(
        _ node: NodeID, _ handle: Handle, from offset: UInt64, to target: SeekTarget
    ) throws(VFSError) -> UInt64 {
        let inode = try table.use(node)
        defer { finish(inode) }
        try lockUnshifted(inode)
        defer { inode.lock.unlock() }
        return try store.look { tree throws(TreeError) in
            let record = try tree.inode(node.rawValue, table)
            guard record.kind == .regular else { throw .refused(.invalidArgument) }
            guard offset < record.size else { throw .refused(.noSuchAddressOrDevice) }
            let blocks = Self.blocks(offset..<record.size)
            var found: UInt64?
            var end = offset
            try tree.forEachExtent(node.rawValue, in: blocks) { extent throws(TreeError) in
                let start = extent.fileBlock * Self.blockSize
                switch target {
                case .data:
                    found = max(offset, start)
                    return false
                case .hole:
                    guard start <= end else { return false }
                    end = extent.fileEnd * Self.blockSize
                    return true
                }
            }
            if let inline = try tree.inlineData(node.rawValue, record)?.range, offset < inline.upperBound {
                found = found ?? max(offset, inline.lowerBound)
                if inline.lowerBound <= end { end = inline.upperBound }
            }
            switch target {
            case .data:
                guard let found, found < record.size else { throw .refused(.noSuchAddressOrDevice) }
                return found
            case .hole: return min(end, record.size)
            }
        }
    }
}
