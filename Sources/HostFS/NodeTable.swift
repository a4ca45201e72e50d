import CLinux
import Synchronization
import VFS

/// A file of the host: while a descriptor is open, no other file has the pair.
struct HostIdentity: Hashable, Sendable {
    var device: UInt64
    var inode: UInt64

    init(_ status: casemate_status) {
        device = status.device
        inode = status.inode
    }
}

/// A file that somebody looked up or opened.
final class HostNode: Sendable {
    let number: UInt64
    let kind: NodeKind
    let identity: HostIdentity
    let descriptor: Descriptor

    init(number: UInt64, kind: NodeKind, identity: HostIdentity, descriptor: Descriptor) {
        self.number = number
        self.kind = kind
        self.identity = identity
        self.descriptor = descriptor
    }
}

/// The files in use, by number and by what the host calls them.
///
/// A directory remembers the directory through which it was last found, and keeps it in the table: that is its parent.
/// The host's own `..` is never asked, since the host could have moved the directory out of the tree.
final class NodeTable: Sendable {
    private struct Record {
        let node: HostNode
        var lookups: UInt64 = 0
        var opens: UInt64 = 0
        /// Of a directory: where it was found; 0 for the root and other kinds.
        var parent: UInt64 = 0
        /// How many records have this one as parent.
        var children: UInt64 = 0
    }

    private struct State {
        var records: [UInt64: Record] = [:]
        var numbers: [HostIdentity: UInt64] = [:]
        /// For files whose inode number cannot be their number.
        var nextNumber = NodeTable.ownNumbers
    }

    /// Numbers from here to 2^48 are the table's own; those below are inode numbers of the root's device.
    private static let ownNumbers: UInt64 = 1 << 47

    let root: HostNode
    private let state: Mutex<State>

    init(root descriptor: Descriptor, _ status: casemate_status) {
        let identity = HostIdentity(status)
        let number = identity.inode < Self.ownNumbers ? identity.inode : Self.ownNumbers
        root = HostNode(number: number, kind: .directory, identity: identity, descriptor: descriptor)
        var state = State()
        if number == Self.ownNumbers { state.nextNumber += 1 }
        state.records[number] = Record(node: root)
        state.numbers[identity] = number
        self.state = Mutex(state)
    }

    subscript(number: UInt64) -> HostNode? { state.withLock { $0.records[number]?.node } }

    /// The number under which a directory listing shows an inode that is perhaps not looked up.
    func listedNumber(inode: UInt64) -> UInt64 {
        let identity = HostIdentity(device: root.identity.device, inode: inode)
        return state.withLock { $0.numbers[identity] } ?? max(inode & (Self.ownNumbers - 1), 1)
    }

    /// Enters a file found in `parent`, or finds it again, and counts a lookup.
    /// - Throws: `ESTALE` when the host moved a directory below one that was found below it.
    func enter(_ descriptor: Descriptor, _ status: casemate_status, in parent: HostNode) throws(VFSError)
        -> HostNode
    {
        guard let kind = NodeKind(mode: status.mode) else {
            throw VFSError(.ioError, fault: "the host gives a file of unknown type, mode \(status.mode)")
        }
        let identity = HostIdentity(status)
        let rootDevice = root.identity.device
        return try state.withLock { (state) throws(VFSError) -> HostNode in
            let number: UInt64
            if let known = state.numbers[identity] {
                number = known
            } else {
                let usable = identity.device == rootDevice && (1..<Self.ownNumbers).contains(identity.inode)
                number = usable && state.records[identity.inode] == nil ? identity.inode : state.nextNumber
                if number == state.nextNumber { state.nextNumber += 1 }
                let node = HostNode(number: number, kind: kind, identity: identity, descriptor: descriptor)
                state.records[number] = Record(node: node)
                state.numbers[identity] = number
            }
            if kind == .directory, number != root.number {
                try Self.setParent(of: number, to: parent.number, &state, root: root.number)
            }
            state.records[number]?.lookups += 1
            guard let node = state.records[number]?.node else { throw VFSError(.staleNFSFileHandle) }
            return node
        }
    }

    /// Notes that a known directory now is in `parent`; unknown ones learn it at their lookup.
    func moved(_ identity: HostIdentity, to parent: HostNode) throws(VFSError) {
        try state.withLock { (state) throws(VFSError) in
            guard let number = state.numbers[identity], state.records[number]?.node.kind == .directory else {
                return
            }
            try Self.setParent(of: number, to: parent.number, &state, root: root.number)
        }
    }

    private static func setParent(of number: UInt64, to parent: UInt64, _ state: inout State, root: UInt64)
        throws(VFSError)
    {
        guard let old = state.records[number]?.parent, old != parent else { return }
        var above = parent
        while above != root {
            guard above != number, let next = state.records[above]?.parent, next != 0 else {
                drop(number, &state, root: root)
                throw VFSError(.staleNFSFileHandle)
            }
            above = next
        }
        state.records[parent]?.children += 1
        state.records[number]?.parent = parent
        guard old != 0 else { return }
        state.records[old]?.children -= 1
        drop(old, &state, root: root)
    }

    func parent(of node: HostNode) -> UInt64 {
        node.number == root.number ? node.number : state.withLock { $0.records[node.number]?.parent } ?? root.number
    }

    func opened(_ node: HostNode) { state.withLock { $0.records[node.number]?.opens += 1 } }

    func closed(_ node: HostNode) {
        // Bound outside, so that descriptors close without the lock.
        _ = state.withLock { state -> [HostNode] in
            state.records[node.number]?.opens -= 1
            return Self.drop(node.number, &state, root: root.number)
        }
    }

    func forget(_ number: UInt64, count: UInt64) {
        _ = state.withLock { state -> [HostNode] in
            guard let lookups = state.records[number]?.lookups else { return [] }
            state.records[number]?.lookups = lookups - min(count, lookups)
            return Self.drop(number, &state, root: root.number)
        }
    }

    /// Takes out what nobody uses any more, from `number` upwards; the nodes that went.
    @discardableResult
    private static func drop(_ number: UInt64, _ state: inout State, root: UInt64) -> [HostNode] {
        var gone: [HostNode] = []
        var number = number
        while number != root, let record = state.records[number], record.lookups == 0, record.opens == 0,
            record.children == 0
        {
            state.records[number] = nil
            state.numbers[record.node.identity] = nil
            gone.append(record.node)
            if record.parent == 0 { break }
            state.records[record.parent]?.children -= 1
            number = record.parent
        }
        return gone
    }

    /// Files in the table, the root included.
    var count: Int { state.withLock { $0.records.count } }
}

extension HostIdentity {
    fileprivate init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}
