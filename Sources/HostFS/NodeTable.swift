import CLinux
import Synchronization
import VFS

/// The files in use, by number and by what the host calls them.
///
/// **Places.** A file remembers the directory and the name under which it was last found, and keeps that directory in the
/// table. For a directory that is its parent: the host's own `..` is never asked, since the host could have moved the
/// directory out of the tree.
///
/// **Descriptors.** A directory keeps its descriptor. Those of other files are closed again, oldest first, when there
/// are more than ``descriptorLimit``, and reopened from the file's place, where device, inode and time of birth must be
/// what they were. A file whose name is about to go keeps its descriptor from then on.
final class NodeTable: Sendable {
    struct Record {
        let node: HostNode
        /// Of a file that is no directory; `nil` while it is closed.
        var descriptor: Descriptor?
        var lookups: UInt64 = 0
        var opens: UInt64 = 0
        /// Where it was found; 0 for the root, and for what was found nowhere.
        var parent: UInt64 = 0
        /// Its name there; `nil` when it has none any more.
        var name: Name?
        /// How many records have this one as parent.
        var children: UInt64 = 0
    }

    struct State {
        var records: [UInt64: Record] = [:]
        var numbers: [HostIdentity: UInt64] = [:]
        /// For files whose inode number cannot be their number.
        var nextNumber = NodeTable.ownNumbers
        /// Descriptors of files that are no directories.
        var descriptors = 0
        /// Numbers whose descriptors may be closed, oldest first from `queueStart` on. Some are there no more.
        var queue: [UInt64] = []
        var queueStart = 0
    }

    /// Numbers from here to 2^48 are the table's own; those below are inode numbers of the root's device.
    static let ownNumbers: UInt64 = 1 << 47

    let root: HostNode
    let rootDescriptor: Descriptor
    let descriptorLimit: Int
    let state: Mutex<State>
    /// Held shared to reopen from a place, alone while names go or move.
    let names = ReadWriteLock()

    init(root descriptor: Descriptor, _ status: casemate_status, descriptorLimit: Int) {
        let inode = status.inode
        let number = (1..<Self.ownNumbers).contains(inode) ? inode : Self.ownNumbers
        root = HostNode(number: number, kind: .directory, status, directory: descriptor)
        rootDescriptor = descriptor
        self.descriptorLimit = descriptorLimit
        var state = State()
        if number == Self.ownNumbers { state.nextNumber += 1 }
        state.records[number] = Record(node: root)
        state.numbers[root.identity] = number
        self.state = Mutex(state)
    }

    subscript(number: UInt64) -> HostNode? { state.withLock { $0.records[number]?.node } }

    /// The number under which a directory listing shows an inode that is perhaps not looked up.
    func listedNumber(inode: UInt64) -> UInt64 {
        let identity = HostIdentity(device: root.identity.device, inode: inode)
        return state.withLock { $0.numbers[identity] } ?? max(inode & (Self.ownNumbers - 1), 1)
    }

    /// Enters a file found as `name` in `parent`, or finds it again, and counts a lookup.
    /// - Parameter name: `nil` for a file that has none.
    /// - Throws: `ESTALE` when the host moved a directory below one that was found below it.
    func enter(_ descriptor: Descriptor, _ status: casemate_status, as name: Name?, in parent: HostNode)
        throws(VFSError) -> HostNode
    {
        guard let kind = NodeKind(mode: status.mode) else {
            throw VFSError(.ioError, fault: "the host gives a file of unknown type, mode \(status.mode)")
        }
        // Bound outside the lock, so that descriptors close without it.
        var closed: [Descriptor] = []
        defer { withExtendedLifetime(closed) {} }
        return try state.withLock { (state) throws(VFSError) -> HostNode in
            let number = state.numbers[HostIdentity(status)] ?? insert(kind, status, descriptor, &state)
            if number != root.number {
                try Self.settle(number, as: name, in: parent.number, &state, root: root.number)
            }
            guard let node = state.records[number]?.node else { throw VFSError(.staleNFSFileHandle) }
            state.records[number]?.lookups += 1
            if kind != .directory { closed = keep(descriptor, of: number, &state) }
            return node
        }
    }

    private func insert(_ kind: NodeKind, _ status: casemate_status, _ descriptor: Descriptor, _ state: inout State)
        -> UInt64
    {
        let identity = HostIdentity(status)
        let usable = identity.device == root.identity.device && (1..<Self.ownNumbers).contains(identity.inode)
        let number = usable && state.records[identity.inode] == nil ? identity.inode : state.nextNumber
        if number == state.nextNumber { state.nextNumber += 1 }
        let node = HostNode(number: number, kind: kind, status, directory: kind == .directory ? descriptor : nil)
        state.records[number] = Record(node: node)
        state.numbers[identity] = number
        return number
    }

    func opened(_ node: HostNode) { state.withLock { $0.records[node.number]?.opens += 1 } }

    func closed(_ node: HostNode) {
        // Bound outside, so that descriptors close without the lock.
        _ = state.withLock { state -> [Record] in
            state.records[node.number]?.opens -= 1
            return Self.drop(node.number, &state, root: root.number)
        }
    }

    func forget(_ number: UInt64, count: UInt64) {
        _ = state.withLock { state -> [Record] in
            guard let lookups = state.records[number]?.lookups else { return [] }
            state.records[number]?.lookups = lookups - min(count, lookups)
            return Self.drop(number, &state, root: root.number)
        }
    }

    /// Takes out what nobody uses any more, from `number` upwards; the records that went.
    @discardableResult
    static func drop(_ number: UInt64, _ state: inout State, root: UInt64) -> [Record] {
        var gone: [Record] = []
        var number = number
        while number != root, let record = state.records[number], record.lookups == 0, record.opens == 0,
            record.children == 0
        {
            state.records[number] = nil
            state.numbers[record.node.identity] = nil
            if record.descriptor != nil { state.descriptors -= 1 }
            gone.append(record)
            if record.parent == 0 { break }
            state.records[record.parent]?.children -= 1
            number = record.parent
        }
        return gone
    }

    /// Files in the table, the root included.
    var count: Int { state.withLock { $0.records.count } }
    /// Descriptors of files that are no directories.
    var descriptorCount: Int { state.withLock { $0.descriptors } }
}
