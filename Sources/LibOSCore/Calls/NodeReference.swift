import VFS

/// A node that cannot go while this object lives: it holds one lookup of it, or keeps what holds it.
final class NodeReference: Sendable {
    let node: NodeID
    private let files: Namespace
    /// A directory below this one, which keeps this one in use; `nil` where the reference has its own lookup.
    private let keeper: NodeReference?

    /// Takes over one lookup of `node`.
    init(taking node: NodeID, of files: Namespace) {
        self.node = node
        self.files = files
        keeper = nil
    }

    /// The parent directory of `child`: in use as long as that is.
    init(parent node: NodeID, of child: NodeReference) {
        self.node = node
        files = child.files
        keeper = child
    }

    deinit {
        if keeper == nil { files.forget(node, count: 1) }
    }
}
