import Synchronization
import VFS

/// One filesystem in a namespace.
final class Mount: Sendable {
    /// Its place in node numbers; never given to another mount of the namespace.
    let index: UInt64
    let files: any FileSystem
    /// Where it is, for people: as given to `mount`.
    let path: String
    let readOnly: Bool
    /// The directory it covers, by the namespace's number; `nil` for the namespace's root.
    let covers: NodeID?
    /// The directory that holds the covered one, and its name there; `nil` for the namespace's root.
    let place: (directory: NodeID, name: Name)?
    /// Files open through the namespace.
    let opens = Atomic<UInt64>(0)

    init(
        index: UInt64, _ files: any FileSystem, path: String, readOnly: Bool, covers: NodeID?,
        place: (directory: NodeID, name: Name)?
    ) {
        self.index = index
        self.files = files
        self.path = path
        self.readOnly = readOnly
        self.covers = covers
        self.place = place
    }

    /// Node numbers of a mounted filesystem must fit in this many bits; the mount's index is above them.
    static let nodeBits: UInt64 = 48

    /// The namespace's number of a node of this filesystem.
    /// - Throws: `EOVERFLOW` for a number of 2^48 or more.
    func outward(_ node: NodeID) throws(VFSError) -> NodeID {
        guard node.rawValue >> Self.nodeBits == 0 else {
            throw VFSError(.overflow, fault: "node number \(node.rawValue) of \(path) is 2^48 or more")
        }
        return NodeID(rawValue: index << Self.nodeBits | node.rawValue)
    }

    func outward(_ attributes: Attributes) throws(VFSError) -> Attributes {
        var attributes = attributes
        attributes.node = try outward(attributes.node)
        return attributes
    }

    /// The filesystem's number of a node of the namespace that belongs to this mount.
    static func inward(_ node: NodeID) -> NodeID { NodeID(rawValue: node.rawValue & (1 << nodeBits - 1)) }

    static func index(of node: NodeID) -> UInt64 { node.rawValue >> nodeBits }

    func requireWritable() throws(VFSError) {
        if readOnly { throw VFSError(.readOnlyFileSystem) }
    }
}

/// The mounts of a namespace at one instant; replaced as a whole when one comes or goes.
final class MountTable: Sendable {
    /// By index; `nil` where a mount is gone.
    let mounts: [Mount?]
    /// Covered directories, and the mounts on them.
    let covered: [NodeID: Mount]

    init(mounts: [Mount?]) {
        self.mounts = mounts
        var covered: [NodeID: Mount] = [:]
        for case .some(let mount) in mounts {
            if let node = mount.covers { covered[node] = mount }
        }
        self.covered = covered
    }

    /// - Throws: `ESTALE` for a node whose mount is gone.
    func mount(of node: NodeID) throws(VFSError) -> Mount {
        let index = Mount.index(of: node)
        guard index < UInt64(mounts.count), let mount = mounts[Int(index)] else {
            throw VFSError(.staleNFSFileHandle)
        }
        return mount
    }

    /// The mount that is seen at `node`, if one covers it: the uppermost where several do.
    func top(at node: NodeID) -> Mount? {
        guard var mount = covered[node] else { return nil }
        while let upper = covered[NodeID(rawValue: mount.index << Mount.nodeBits | mount.files.root.rawValue)] {
            mount = upper
        }
        return mount
    }
}
