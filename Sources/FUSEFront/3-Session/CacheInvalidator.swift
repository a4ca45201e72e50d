import CFUSE
import Glibc
import VFS

/// Tells the kernel to forget what it cached of files that changed behind its back.
///
/// From a thread of its own: the kernel may hold locks that it gives up only when a request we are serving is answered.
final class CacheInvalidator: ChangeObserver, @unchecked Sendable {
    private enum Change: Hashable, Sendable {
        case node(UInt64)
        case name(Name, UInt64)
    }

    private let changes = Mailbox<Change>()
    private let references: ReferenceTable
    private let nodes: NodeMapping
    private let thread: ServiceThread

    init(_ handle: SessionHandle, _ server: Server) throws(FUSEError) {
        references = server.references
        nodes = server.nodes
        let changes = changes
        thread = try ServiceThread(named: "fuse-invalidate") {
            while true {
                let batch = changes.takeAll()
                if batch.isEmpty { return }
                Self.tell(batch, handle)
            }
        }
    }

    func changed(_ node: NodeID) {
        guard isKnown(node) else { return }
        _ = changes.post(.node(nodes.kernel(node)))
    }

    func changed(_ name: Name, in directory: NodeID) {
        guard isKnown(directory) else { return }
        _ = changes.post(.name(name, nodes.kernel(directory)))
    }

    func finish() {
        changes.close()
        thread.join()
    }

    /// The kernel caches only what it looked up, and the root.
    private func isKnown(_ node: NodeID) -> Bool { nodes.isRoot(node) || references.knows(node) }

    private static func tell(_ batch: [Change], _ handle: SessionHandle) {
        var told: Set<Change> = []
        for change in batch where told.insert(change).inserted {
            // What the kernel does not know (any more) is no error.
            switch change {
            case .node(let node): fuse_lowlevel_notify_inval_inode(handle.raw, node, 0, 0)
            case .name(let name, let directory):
                let text = name.bytes.map { CChar(bitPattern: $0) } + [0]
                fuse_lowlevel_notify_inval_entry(handle.raw, directory, text, name.bytes.count)
            }
        }
    }
}
