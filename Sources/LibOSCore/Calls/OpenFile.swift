import Synchronization
import VFS

/// An open file description, `open(2)`: what descriptors that were duplicated share. Closed with the last of them.
final class OpenFile: Sendable {
    let reference: NodeReference
    let kind: NodeKind
    let options: OpenOptions
    private let files: Namespace
    /// `nil` for an ``OpenOptions/path`` open.
    private let handle: Handle?
    /// The file offset in bytes; for a directory the cookie of the last entry read. Held during calls that use it.
    let position = Mutex<UInt64>(0)

    init(
        _ reference: NodeReference, _ kind: NodeKind, _ options: OpenOptions, _ handle: Handle?, in files: Namespace
    ) {
        self.reference = reference
        self.kind = kind
        self.options = options
        self.handle = handle
        self.files = files
    }

    deinit {
        guard let handle else { return }
        files.locks.release(.whole, reference.node, by: LockOwner(self))
        files.close(reference.node, handle)
    }

    var node: NodeID { reference.node }

    /// - Throws: `EBADF` for a file opened with ``OpenOptions/path``.
    func opened() throws(VFSError) -> Handle {
        guard let handle else { throw VFSError(.badFileDescriptor) }
        return handle
    }

    /// - Throws: `EBADF` when not open for reading, `EISDIR`.
    func readable() throws(VFSError) -> Handle {
        guard options.reads else { throw VFSError(.badFileDescriptor) }
        let handle = try opened()
        guard kind != .directory else { throw VFSError(.isDirectory) }
        return handle
    }

    /// - Throws: `EBADF` when not open for writing.
    func writable() throws(VFSError) -> Handle {
        guard options.writes else { throw VFSError(.badFileDescriptor) }
        return try opened()
    }
}
