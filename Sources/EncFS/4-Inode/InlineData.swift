import VFS

/// Bytes of a file that are in the tree: all that a tiny file has, or those behind a small file's last whole block, which
/// then take no block of their own. They lie within one block of the file, and no extent reaches it or beyond.
struct InlineData {
    /// Of the first byte, a multiple of the block size.
    var offset: UInt64
    var bytes: [UInt8]

    var range: Range<UInt64> { offset..<offset + UInt64(bytes.count) }
    /// The file's block that they are of.
    var block: UInt64 { offset / EncFS.blockSize }

    /// - Parameter part: within ``range``.
    func bytes(_ part: Range<UInt64>) -> ArraySlice<UInt8> {
        bytes[Int(part.lowerBound - offset)..<Int(part.upperBound - offset)]
    }
}

extension Tree {
    /// What the tree has of a file's bytes.
    func inlineData(_ number: UInt64, _ inode: Inode) throws(TreeError) -> InlineData? {
        guard inode.flags.contains(.hasInlineData) else { return nil }
        let start = ItemKey(number, .inlineData)
        guard let cursor = try first(from: start), cursor.key.inode == number, cursor.key.kind == start.kind else {
            return nil
        }
        let data = InlineData(offset: cursor.key.offset, bytes: Array(cursor.value))
        guard data.offset % EncFS.blockSize == 0, data.offset < Inode.maximumBytes else {
            throw .corrupt("inline data of inode \(number) at offset \(data.offset)")
        }
        return data
    }
}
