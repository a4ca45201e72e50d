import SecureBlock
import VFS

/// The bytes behind a small file's last whole block are in the tree, where they take no block of their own.
extension EncFS {
    /// Files of more blocks have no tail: it would save little.
    private static let tailedBlocks: UInt64 = 16

    /// Puts the end of a small file into the tree, when the write has all of it, and no block was given to it before: one that was
    /// is likely to change again.
    func packTail(
        _ tree: Tree, _ number: UInt64, _ record: inout Inode, _ plan: inout Plan, _ bytes: UnsafeRawBufferPointer
    ) throws(TreeError) {
        let end = plan.range.upperBound, tail = end % Self.blockSize, start = end - tail
        guard store.superblock.packsTails, tail > 0, tail <= UInt64(store.superblock.maximumInlineBytes), start > 0,
            start >= plan.range.lowerBound, end >= record.size, end <= Self.tailedBlocks * Self.blockSize,
            try tree.lastExtent(number, upTo: Self.blocksEnd)?.fileEnd ?? 0 <= start / Self.blockSize
        else { return }
        plan.tailBytes = tail
        let first = Int(start - plan.range.lowerBound)
        try tree.set(ItemKey(number, .inlineData, start), Array(bytes[first..<first + Int(tail)]))
        record.flags.insert(.hasInlineData)
        if plan.leaves == start { plan.leaves = nil }
    }

    /// A write to a file with a tail, which is ours alone: one that goes on from the tail takes its bytes along, before any
    /// other they move to a block.
    func write(
        _ inode: LiveInode, _ range: Range<UInt64>, _ bytes: UnsafeRawBufferPointer, _ flags: WriteFlags,
        behind tail: InlineData, _ accepted: (Written) -> Void
    ) throws(VFSError) -> WriteOutcome {
        let bytes = UnsafeRawBufferPointer(rebasing: bytes.prefix(range.count))
        guard range.lowerBound >= tail.offset, range.lowerBound - tail.offset < Self.blockSize else {
            guard case .written = try moveInline(inode) else { return .commitNeeded }
            return try writeOnce(inode, at: .offset(range.lowerBound), bytes, flags, accepted: accepted)
        }
        let lead = Int(range.lowerBound - tail.offset)
        var joined = tail.bytes
        let missing = lead + bytes.count - joined.count
        if missing > 0 { joined.append(contentsOf: repeatElement(0, count: missing)) }
        joined.replaceSubrange(lead..<lead + bytes.count, with: bytes)
        // Runs are of whole blocks: of what was written, some is the caller's.
        func ofCaller(_ count: Int) -> Int { min(count - lead, bytes.count) }
        let outcome = try write(joined, to: inode, at: tail.offset, .joined, flags) { written in
            accepted(
                Written(count: ofCaller(written.count), end: range.lowerBound + UInt64(ofCaller(written.count))))
        }
        guard case .written(let count, _) = outcome else { return outcome }
        return .written(count: ofCaller(count), end: range.lowerBound + UInt64(ofCaller(count)))
    }

    /// As ``exclusively(_:_:)``, with all of the file's bytes in blocks.
    func exclusivelyInBlocks<R>(_ inode: LiveInode, _ body: () throws(VFSError) -> R) throws(VFSError) -> R {
        while true {
            let result = try exclusively(inode) { () throws(VFSError) -> R? in
                let inline = try store.look { tree throws(TreeError) in
                    try tree.inlineData(inode.number, try tree.inode(inode.number, table))
                }
                return inline == nil ? try body() : nil
            }
            if let result { return result }
            try leaveInline(inode)
        }
    }

    /// Moves a small file's bytes out of the tree into blocks.
    func leaveInline(_ inode: LiveInode) throws(VFSError) {
        try committingWhereNeeded { () throws(VFSError) in
            try exclusively(inode) { () throws(VFSError) in try moveInline(inode) }
        }
    }

    /// As ``leaveInline(_:)``, with the inode to ourselves.
    private func moveInline(_ inode: LiveInode) throws(VFSError) -> WriteOutcome {
        let inline = try store.look { tree throws(TreeError) in
            try tree.inlineData(inode.number, try tree.inode(inode.number, table))
        }
        guard let inline else { return .written(count: 0, end: 0) }
        return try write(inline.bytes, to: inode, at: inline.offset, .leaving)
    }

    /// Runs an operation again after a commit where the device asks for one.
    func committingWhereNeeded(_ body: () throws(VFSError) -> WriteOutcome) throws(VFSError) {
        for attempt in 0..<4 {
            guard case .commitNeeded = try body() else { return }
            let ticket = try committer.order()
            if attempt > 0 { try ticket.wait() }
        }
        throw VFSError(.noSpace)
    }

    /// As ``writeOnce(_:at:_:_:_:accepted:)``, of an array.
    func write(
        _ bytes: [UInt8], to inode: LiveInode, at offset: UInt64, _ kind: WriteKind, _ flags: WriteFlags = [],
        accepted: (Written) -> Void = { _ in }
    ) throws(VFSError) -> WriteOutcome {
        var outcome: Result<WriteOutcome, VFSError> = .success(.commitNeeded)
        bytes.withUnsafeBytes { source in
            do throws(VFSError) {
                outcome = .success(
                    try writeOnce(inode, at: .offset(offset), source, flags, kind, accepted: accepted))
            } catch { outcome = .failure(error) }
        }
        return try outcome.get()
    }
}
