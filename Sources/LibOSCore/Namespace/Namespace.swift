import Synchronization
public import VFS

/// Several filesystems as one: a root filesystem with others mounted on its directories, itself a ``FileSystem``.
///
/// Node numbers are unique over the whole namespace: the mount's index is in the upper 16 bits, the filesystem's own
/// number in the lower 48, so the root filesystem keeps its numbers. A link or rename from one mount into another is
/// `EXDEV`; removing or renaming a mount point is `EBUSY`.
///
/// Thread-safe. Mounting and unmounting may happen while others use the namespace.
public final class Namespace: FileSystem {
    private let table: Mutex<MountTable>
    /// Held shared while names change, alone while mounts do: a mount point cannot be removed under a mount call.
    let mounting = ReadWriteLock()
    let observer = Mutex<(any ChangeObserver)?>(nil)
    let locks = LockTable()

    public let root: NodeID

    /// - Parameters:
    ///   - files: what is at `/`.
    ///   - readOnly: refuse changes to it with `EROFS`, whatever it would allow itself.
    public init(root files: any FileSystem, readOnly: Bool = false) {
        precondition(files.root.rawValue >> Mount.nodeBits == 0, "root numbers are below 2^48")
        root = files.root
        let mount = Mount(
            index: 0, files, path: "/", readOnly: readOnly || files.traits.readOnly, covers: nil, place: nil)
        table = Mutex(MountTable(mounts: [mount]))
    }

    /// The mounts now.
    var mounts: MountTable { table.withLock { $0 } }

    func replaceMounts(_ new: [Mount?]) { table.withLock { $0 = MountTable(mounts: new) } }

    /// The mount of `node` and the node's number in it.
    func resolve(_ node: NodeID) throws(VFSError) -> (mount: Mount, node: NodeID) {
        (try mounts.mount(of: node), Mount.inward(node))
    }

    /// What the mounts have in common: `ownsState` and `readOnly` when all do, the largest file any allows.
    public var traits: Traits {
        let all = mounts.mounts.compactMap(\.self)
        return Traits(
            ownsState: all.allSatisfy(\.files.traits.ownsState), readOnly: all.allSatisfy(\.readOnly),
            maximumFileBytes: all.map(\.files.traits.maximumFileBytes).max() ?? 0,
            typeName: all.count == 1 ? all[0].files.traits.typeName : "namespace")
    }

    /// The traits of the filesystem that holds `node`, with `readOnly` as it was mounted.
    public func traits(of node: NodeID) throws(VFSError) -> Traits {
        let mount = try resolve(node).mount
        var traits = mount.files.traits
        traits.readOnly = mount.readOnly
        return traits
    }

    /// Of the root filesystem; see ``statistics(of:)``.
    public func statistics() throws(VFSError) -> Statistics { try statistics(of: root) }

    public func statistics(of node: NodeID) throws(VFSError) -> Statistics {
        let (mount, node) = try resolve(node)
        return try mount.files.statistics(of: node)
    }

    /// Orders a commit; for `nil`, one of every mounted filesystem, all of them before any is waited for.
    public func commit(_ node: NodeID?, dataOnly: Bool) throws(VFSError) -> any DurabilityTicket {
        if let node {
            let (mount, node) = try resolve(node)
            return try mount.files.commit(node, dataOnly: dataOnly)
        }
        var tickets: [any DurabilityTicket] = []
        var failure: VFSError?
        for mount in mounts.mounts.compactMap(\.self) where !mount.readOnly {
            do throws(VFSError) {
                tickets.append(try mount.files.commit(nil, dataOnly: dataOnly))
            } catch {
                failure = failure ?? error
            }
        }
        return JointTicket(tickets: tickets, failure: failure)
    }

    /// Orders a commit of everything in the filesystem that holds `node`.
    public func commitMount(of node: NodeID) throws(VFSError) -> any DurabilityTicket {
        try resolve(node).mount.files.commit(nil, dataOnly: false)
    }

    public func observe(_ observer: (any ChangeObserver)?) {
        self.observer.withLock { $0 = observer }
        for mount in mounts.mounts.compactMap(\.self) { passOn(to: mount) }
    }

    /// Lets the observer hear of changes in `mount`.
    func passOn(to mount: Mount) {
        let observer = observer.withLock { $0 }
        mount.files.observe(observer.map { TranslatingObserver(mount, $0) })
    }
}

/// Durable when all of its tickets are.
private struct JointTicket: DurabilityTicket {
    var tickets: [any DurabilityTicket]
    /// One filesystem could not even order.
    var failure: VFSError?

    /// Waits for all, then throws the first failure.
    func wait() throws(VFSError) {
        var failure = failure
        for ticket in tickets {
            do throws(VFSError) { try ticket.wait() } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }
}

/// Passes on what one mount tells, in the namespace's numbers.
private final class TranslatingObserver: ChangeObserver {
    private let mount: Mount
    private let target: any ChangeObserver

    init(_ mount: Mount, _ target: any ChangeObserver) {
        self.mount = mount
        self.target = target
    }

    // A number that does not fit was never handed out, so nobody cached anything of it.
    func changed(_ node: NodeID) {
        do throws(VFSError) { target.changed(try mount.outward(node)) } catch {}
    }

    func changed(_ name: Name, in directory: NodeID) {
        do throws(VFSError) { target.changed(name, in: try mount.outward(directory)) } catch {}
    }
}
