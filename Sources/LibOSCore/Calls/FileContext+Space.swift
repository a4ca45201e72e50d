public import VFS

/// Durability, allocation and copying.
extension FileContext {
    /// The file's data and attributes, and for a directory its entries, are durable on return.
    /// - Throws: `EBADF`, `EIO`.
    public func fsync(_ descriptor: Descriptor) throws(VFSError) { try commit(descriptor, dataOnly: false) }

    /// As ``fsync(_:)``, but times may stay behind.
    public func fdatasync(_ descriptor: Descriptor) throws(VFSError) { try commit(descriptor, dataOnly: true) }

    private func commit(_ descriptor: Descriptor, dataOnly: Bool) throws(VFSError) {
        let file = try file(descriptor)
        _ = try file.opened()
        try namespace.commit(file.node, dataOnly: dataOnly).wait()
    }

    /// Everything done in every mounted filesystem before this call is durable on return.
    /// - Throws: `EIO`: the first failure, after all were tried.
    public func sync() throws(VFSError) { try namespace.commit(nil, dataOnly: false).wait() }

    /// As ``sync()``, for the filesystem that holds the file.
    public func syncfs(_ descriptor: Descriptor) throws(VFSError) {
        let file = try file(descriptor)
        _ = try file.opened()
        try namespace.commitMount(of: file.node).wait()
    }

    /// `fallocate(2)`; offset and length in bytes.
    /// - Throws: `EBADF`, `EINVAL`, `EFBIG`, `ENOSPC`, `EISDIR`, `ENODEV`, `ENOTSUP` for a mode that the filesystem lacks.
    public func fallocate(_ descriptor: Descriptor, _ mode: AllocationMode, offset: Int64, length: Int64)
        throws(VFSError)
    {
        guard offset >= 0, length > 0 else { throw VFSError(.invalidArgument) }
        let file = try file(descriptor)
        let handle = try file.writable()
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard !overflow else { throw VFSError(.fileTooLarge) }
        try namespace.allocate(file.node, handle, UInt64(offset)..<UInt64(end), mode)
    }

    private static let copyBytes = 1 << 18

    /// `copy_file_range(2)`, between any two mounts: copies up to `count` bytes; how many it did, 0 at the end of file.
    /// - Parameters:
    ///   - sourceOffset: where to read, in bytes; `nil` uses and moves the descriptor's offset.
    ///   - targetOffset: where to write, in the same way.
    /// - Throws: `EBADF`, also for an appending target; `EINVAL` for overlapping ranges of one file or what are no
    ///   regular files, `EISDIR`, `EOVERFLOW`, `EFBIG`, `ENOSPC`, `EIO`.
    public func copyFileRange(
        _ source: Descriptor, at sourceOffset: Int64? = nil, _ target: Descriptor, at targetOffset: Int64? = nil,
        count: Int
    ) throws(VFSError) -> Int {
        let from = try file(source)
        let to = try file(target)
        guard from.kind != .directory, to.kind != .directory else { throw VFSError(.isDirectory) }
        guard from.options.reads, to.options.writes, !to.options.contains(.append) else {
            throw VFSError(.badFileDescriptor)
        }
        guard from.kind == .regular, to.kind == .regular, count >= 0 else { throw VFSError(.invalidArgument) }
        let readStart = if let sourceOffset { sourceOffset } else { try lseek(source, 0, .current) }
        let writeStart = if let targetOffset { targetOffset } else { try lseek(target, 0, .current) }
        guard readStart >= 0, writeStart >= 0 else { throw VFSError(.invalidArgument) }
        let (readEnd, readOverflow) = readStart.addingReportingOverflow(Int64(count))
        let (writeEnd, writeOverflow) = writeStart.addingReportingOverflow(Int64(count))
        guard !readOverflow, !writeOverflow else { throw VFSError(.overflow) }
        if from.node == to.node, readStart < writeEnd, writeStart < readEnd { throw VFSError(.invalidArgument) }
        var done = Int(
            try namespace.cloneLeading(
                from.node, at: UInt64(readStart), to: to.node, at: UInt64(writeStart), count: UInt64(count),
                limit: .max, writeFlags))
        while done < count {
            let bytes: [UInt8]
            let written: Int
            do throws(VFSError) {
                bytes = try pread(source, count: min(Self.copyBytes, count - done), at: readStart + Int64(done))
                if bytes.isEmpty { break }
                written = try pwrite(target, bytes, at: writeStart + Int64(done))
            } catch {
                // What was copied counts; the next call meets the error again.
                if done == 0 { throw error }
                break
            }
            done += written
            if written < bytes.count { break }
        }
        if sourceOffset == nil { try lseek(source, readStart + Int64(done), .start) }
        if targetOffset == nil { try lseek(target, writeStart + Int64(done), .start) }
        return done
    }

    /// `FICLONE` of `ioctl_ficlone(2)`: the target gets all bytes of the source without copying; the two share them until
    /// one is written.
    /// - Throws: `EBADF`, `EXDEV` between mounts, `ENOTSUP` where the filesystem cannot share, `EINVAL`, `EISDIR`, `ENOSPC`.
    public func clone(_ source: Descriptor, to target: Descriptor) throws(VFSError) {
        try cloneRange(source, offset: 0, length: 0, to: target, at: 0)
    }

    /// `FICLONERANGE`: as ``clone(_:to:)`` for a range in bytes; a length of 0 reaches to the end of the source.
    public func cloneRange(
        _ source: Descriptor, offset: Int64, length: Int64, to target: Descriptor, at targetOffset: Int64
    ) throws(VFSError) {
        let from = try file(source)
        let to = try file(target)
        guard from.options.reads, to.options.writes, !to.options.contains(.append) else {
            throw VFSError(.badFileDescriptor)
        }
        guard from.kind != .directory, to.kind != .directory else { throw VFSError(.isDirectory) }
        guard from.kind == .regular, to.kind == .regular, offset >= 0, length >= 0, targetOffset >= 0 else {
            throw VFSError(.invalidArgument)
        }
        var end = UInt64(offset)
        if length == 0 {
            end = max(end, try namespace.attributes(from.node).size)
        } else {
            end += UInt64(length)
        }
        try namespace.clone(from.node, UInt64(offset)..<end, to: to.node, at: UInt64(targetOffset), writeFlags)
    }
}
