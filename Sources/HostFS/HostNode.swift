import CLinux
import VFS

/// A file of the host: while a descriptor is open, no other file has the pair.
struct HostIdentity: Hashable, Sendable {
    var device: UInt64
    var inode: UInt64

    init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }

    init(_ status: casemate_status) { self.init(device: status.device, inode: status.inode) }
}

/// A file that somebody looked up or opened.
final class HostNode: Sendable {
    let number: UInt64
    let kind: NodeKind
    let identity: HostIdentity
    /// When the file was made, where the host knows: tells it from a later one with the same inode number.
    let born: Timestamp?
    /// A directory's descriptor; those of other files come and go, see ``NodeTable``.
    let directory: Descriptor?

    init(number: UInt64, kind: NodeKind, _ status: casemate_status, directory: Descriptor?) {
        self.number = number
        self.kind = kind
        self.directory = directory
        identity = HostIdentity(status)
        born = status.birth_known != 0 ? Timestamp(status.born) : nil
    }

    /// Whether `status` tells of this very file.
    func isFile(_ status: casemate_status) -> Bool {
        HostIdentity(status) == identity && NodeKind(mode: status.mode) == kind
            && (status.birth_known != 0 ? Timestamp(status.born) : nil) == born
    }
}

/// A directory in use, and the way into it.
struct HostDirectory {
    let node: HostNode
    let descriptor: Descriptor
}
