import CFUSE
import Glibc
import Logging
import Synchronization
import VFS

// SAFETY: names come from libfuse as C strings, which end in a NUL and live during the callback; they are copied.

/// Answers the kernel's requests out of a filesystem. Each request is served on the thread that read it; only waiting
/// for durability moves to the committer.
final class Server: Sendable {
    let filesystem: any FileSystem
    let mountpoint: String
    let options: FUSEOptions
    let logger: Logger
    let faults: FaultLog
    let trace: OperationTrace?
    let control: (any ControlHandler)?
    let nodes: NodeMapping
    let references = ReferenceTable()
    let committer: Committer
    let privileges = PrivilegeNegotiation()
    /// The kernel enforces access control lists and leaves the umask to us.
    let enforcesLists = Atomic<Bool>(false)
    let traits: Traits
    /// Where somebody who unmounts can wait for the filesystem to be closed; `nil` when that could not be set up.
    let closing: ClosingNotice?

    /// How long the kernel may believe attributes, and names found or missing. Where nobody else changes the
    /// filesystem that is a day: what changes in process reaches the kernel by ``CacheInvalidator``.
    let attributeSeconds: Double
    let entrySeconds: Double

    init(
        _ filesystem: any FileSystem, at mountpoint: String, _ options: FUSEOptions, _ logger: Logger,
        _ faults: FaultLog, _ trace: OperationTrace?,
        _ control: (any ControlHandler)?, _ closing: ClosingNotice?
    ) throws(FUSEError) {
        self.filesystem = filesystem
        self.mountpoint = mountpoint
        self.options = options
        self.logger = logger
        self.faults = faults
        self.trace = trace
        self.control = control
        self.closing = closing
        traits = filesystem.traits
        nodes = NodeMapping(root: filesystem.root)
        committer = try Committer(threads: options.threadCount)
        attributeSeconds = traits.ownsState ? 86_400 : 1
        entrySeconds = attributeSeconds
    }

    /// Serves one request whose handler may throw; the handler itself replies when it does not.
    func serve(
        _ raw: OpaquePointer?, _ text: @autoclosure () -> String, _ body: (Request) throws(VFSError) -> Void
    ) {
        guard let raw else { return }
        var request = Request(raw, self)
        request.trace(text())
        do throws(VFSError) { try body(request) } catch { request.fail(error) }
    }

    /// Hands out a node: counted before the kernel can forget it, given back when it never got it.
    func hand(_ entry: Entry, _ reply: (Entry) -> Bool) {
        references.addLookup(entry.node)
        if !reply(entry) { forget(entry.node, 1) }
    }

    func forget(_ node: NodeID, _ count: UInt64) {
        let held = references.removeLookups(node, count)
        if held > 0, !nodes.isRoot(node) { filesystem.forget(node, count: held) }
    }

    func parameters(_ node: NodeID, _ attributes: Attributes) -> fuse_entry_param {
        fuse_entry_param(
            ino: nodes.kernel(node), generation: 0, attr: attributes.status, attr_timeout: attributeSeconds,
            entry_timeout: entrySeconds)
    }

    /// The mount is over: gives back what the kernel still held.
    func finish() {
        committer.finish()
        references.releaseAll(
            { filesystem.close($0, $1) },
            { node, count in if !nodes.isRoot(node) { filesystem.forget(node, count: count) } })
    }
}

extension Server {
    /// A component of a path as the kernel gives it.
    static func name(_ text: UnsafePointer<CChar>?) throws(VFSError) -> Name {
        guard let text else { throw VFSError(.invalidArgument) }
        return try Name(UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    static func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8] {
        guard let text else { return [] }
        return Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    static func quoted(_ text: UnsafePointer<CChar>?) -> String { OperationTrace.quoted(bytes(text)) }
}
