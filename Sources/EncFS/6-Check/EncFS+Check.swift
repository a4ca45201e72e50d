import SecureBlock

extension EncFS {
    /// Checks a filesystem that nobody has mounted for writing. Never writes.
    ///
    /// Covers the tree's order, levels and addresses; every inode, extent, name, hash, backlink, link and entry count,
    /// orphan, attribute; every block's owner against the bitmaps; the superblock's totals.
    /// - Parameters:
    ///   - readData: also read every data block.
    ///   - suspects: runs of blocks, ascending, of which a newer version may be lost: what is in them is named, as notes.
    ///   - progress: blocks done and blocks to do.
    ///   - finding: called once a finding, at the end; of more than 10,000 the rest is only counted.
    /// - Throws: ``EncFSError`` when there is nothing to check: no superblock, or one that cannot be read.
    public static func check(
        _ device: any BlockDevice, readData: Bool, suspects: [Range<UInt64>] = [],
        progress: (UInt64, UInt64) -> Void,
        finding: (Finding) -> Void
    ) throws(EncFSError) -> CheckSummary {
        let superblock = try readSuperblock(device)
        let check = TreeCheck(device, superblock, readData: readData)
        check.suspects = suspects
        try check.run(progress)
        for found in check.findings {
            var found = found
            found.path = found.inode.flatMap(check.path(of:))
            finding(found)
        }
        return check.summary
    }
}
