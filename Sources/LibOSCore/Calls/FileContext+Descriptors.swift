import Synchronization
public import VFS

extension FileContext {
    /// - Throws: `EBADF`.
    func file(_ descriptor: Descriptor) throws(VFSError) -> OpenFile {
        let index = Int(descriptor.rawValue)
        let found = state.withLock { $0.files.indices.contains(index) ? $0.files[index] : nil }
        guard let found else { throw VFSError(.badFileDescriptor) }
        return found
    }

    /// - Throws: `EMFILE`.
    func install(_ file: OpenFile, from lowest: Int = 0) throws(VFSError) -> Descriptor {
        try state.withLock { (state) throws(VFSError) -> Descriptor in
            var index = min(lowest, state.files.count)
            while index < state.files.count, index < lowest || state.files[index] != nil { index += 1 }
            index = max(index, lowest)
            guard index < state.descriptorLimit else { throw VFSError(.tooManyOpenFiles) }
            while state.files.count <= index { state.files.append(nil) }
            state.files[index] = file
            return Descriptor(rawValue: Int32(index))
        }
    }

    /// Lets go of a descriptor. What was written is not durable by this; see ``fsync(_:)``.
    /// - Throws: `EBADF`.
    public func close(_ descriptor: Descriptor) throws(VFSError) {
        let index = Int(descriptor.rawValue)
        // Bound outside, so that the filesystem is not called under the lock.
        let closed = state.withLock { state -> OpenFile? in
            guard state.files.indices.contains(index) else { return nil }
            defer { state.files[index] = nil }
            return state.files[index]
        }
        guard let closed else { throw VFSError(.badFileDescriptor) }
        releaseRangeLocks(closed)
    }

    /// Another descriptor for the same open file, not below `lowest` (`F_DUPFD` of `fcntl(2)`).
    /// - Throws: `EBADF`, `EMFILE`, `EINVAL` for a `lowest` out of range.
    public func dup(_ descriptor: Descriptor, from lowest: Descriptor = Descriptor(rawValue: 0))
        throws(VFSError) -> Descriptor
    {
        let file = try file(descriptor)
        let limit = state.withLock { $0.descriptorLimit }
        guard (0..<limit).contains(Int(lowest.rawValue)) else { throw VFSError(.invalidArgument) }
        return try install(file, from: Int(lowest.rawValue))
    }

    /// Makes `new` stand for the same open file, closing what it stood for.
    /// - Throws: `EBADF` for either number out of range.
    @discardableResult
    public func dup2(_ descriptor: Descriptor, _ new: Descriptor) throws(VFSError) -> Descriptor {
        let file = try file(descriptor)
        let index = Int(new.rawValue)
        let limit = state.withLock { $0.descriptorLimit }
        guard (0..<limit).contains(index) else { throw VFSError(.badFileDescriptor) }
        if descriptor == new { return new }
        let replaced = state.withLock { state -> OpenFile? in
            while state.files.count <= index { state.files.append(nil) }
            defer { state.files[index] = file }
            return state.files[index]
        }
        if let replaced { releaseRangeLocks(replaced) }
        return new
    }

    /// fcntl(2): closing any of its descriptors gives back all locks that a process has on a file.
    private func releaseRangeLocks(_ file: OpenFile) {
        namespace.locks.release(.range, file.node, by: LockOwner(self))
    }
}
