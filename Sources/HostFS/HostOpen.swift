import Synchronization
import VFS

/// One open of a file or directory.
final class HostOpen: Sendable {
    let node: HostNode
    let descriptor: Descriptor
    /// Held while the descriptor's position is in use: listing, and appending.
    let position = Mutex<Void>(())

    init(_ node: HostNode, _ descriptor: Descriptor) {
        self.node = node
        self.descriptor = descriptor
    }
}
