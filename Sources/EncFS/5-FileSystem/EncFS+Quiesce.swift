import VFS

extension EncFS {
    /// Commits everything, and runs `body` while what is durable is exactly what there is: for what a device does to itself
    /// between two of its client's commits (snapshots, key slots). Changes wait meanwhile, reads go on, so that `body`
    /// should be short; it must not call the filesystem.
    /// - Throws: `EROFS` for a filesystem that is only read, `EIO` for a commit that fails; `body` did not run then.
    public func quiesced(_ body: () -> Void) throws(VFSError) {
        if isReadOnly { throw VFSError(.readOnlyFileSystem) }
        try latch.check()
        try committer.quiesce(body)
    }
}
