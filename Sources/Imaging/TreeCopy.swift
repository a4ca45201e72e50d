import EncFS
import SecureBlock
import Synchronization
import VFS

/// The time that a filesystem in the making takes for now: that of the file being made.
final class BuildClock: Sendable {
    private let time: Mutex<Timestamp>
    init(_ time: Timestamp) { self.time = Mutex(time) }
    var now: Timestamp {
        get { time.withLock { $0 } }
        set { time.withLock { $0 = newValue } }
    }
}

/// Puts a tree into an empty filesystem, in the order of the walk, with one call after the other: so inode numbers, places and
/// all else follow from the tree.
struct TreeCopy: TreeVisitor {
    private let tree: SourceTree
    private let target: EncFS
    private let clock: BuildClock
    private let options: ImageBuild.Options
    private let progress: () -> Void
    /// Where files with several names are.
    private var linked: [NodeID: NodeID] = [:]

    init(
        _ tree: SourceTree, to target: EncFS, _ clock: BuildClock, _ options: ImageBuild.Options,
        progress: @escaping () -> Void
    ) {
        self.tree = tree
        self.target = target
        self.clock = clock
        self.options = options
        self.progress = progress
    }

    mutating func run() throws(ImageBuildError) {
        let root = try tree.root()
        try tree.walk(&self, from: target.root)
        try leave(root, target.root)
    }

    mutating func enter(_ directory: SourceFile, in place: NodeID) throws(ImageBuildError) -> NodeID {
        // Its own attributes come when it is full: until then no set-group-ID and no default list of it has a say.
        try make(directory, NewNode(kind: .directory, permissions: 0o700), in: place)
    }

    mutating func leave(_ directory: SourceFile, _ place: NodeID) throws(ImageBuildError) {
        try finish(directory, place)
        if directory.name != nil { target.forget(place, count: 1) }
    }

    mutating func add(_ file: SourceFile, in place: NodeID) throws(ImageBuildError) {
        let attributes = file.attributes
        if file.isAnotherName, let node = linked[file.node], let name = file.name {
            clock.now = options.time(of: attributes)
            try call(file) { () throws(VFSError) in _ = try target.link(node, as: name, in: place) }
            target.forget(node, count: 1)
            return progress()
        }
        var new = NewNode(kind: attributes.kind, permissions: attributes.permissions, device: attributes.device)
        if attributes.kind == .symbolicLink { new.target = try tree.target(of: file) }
        let node = try make(file, new, in: place)
        if attributes.kind == .regular { try copyContents(file, node) }
        try finish(file, node)
        if attributes.linkCount > 1 { linked[file.node] = node }
        target.forget(node, count: 1)
    }

    private func make(_ file: SourceFile, _ new: NewNode, in place: NodeID) throws(ImageBuildError) -> NodeID {
        let owner = options.owner(of: file.attributes)
        clock.now = options.time(of: file.attributes)
        progress()
        return try call(file) { () throws(VFSError) in
            try target.make(new, named: file.name, in: place, by: Caller(user: owner.user, group: owner.group)).node
        }
    }

    private func copyContents(_ file: SourceFile, _ node: NodeID) throws(ImageBuildError) {
        var end: UInt64 = 0
        try tree.forEachRun(of: file) { offset, run throws(ImageBuildError) in
            let written = try call(file) { () throws(VFSError) in
                try target.write(node, .none, at: .offset(offset), run, [])
            }
            guard written.count == run.count else { throw .unsuitable(path: file.path, VFSError(.noSpace)) }
            end = written.end
        }
        guard end < file.attributes.size else { return }
        var change = AttributeChange()
        change.size = file.attributes.size
        try call(file) { () throws(VFSError) in _ = try target.setAttributes(node, change, by: .root) }
    }

    /// Gives a file its attributes, all of them, after all that changes any.
    private func finish(_ file: SourceFile, _ node: NodeID) throws(ImageBuildError) {
        let time = options.time(of: file.attributes), owner = options.owner(of: file.attributes)
        clock.now = time
        for (name, value) in try tree.extendedAttributes(of: file) {
            try call(file) { () throws(VFSError) in
                try target.setExtendedAttribute(name, of: node, to: value, .createOrReplace)
            }
        }
        var change = AttributeChange()
        change.permissions = file.attributes.permissions
        change.owner = owner.user
        change.group = owner.group
        change.accessTime = .exact(time)
        change.modificationTime = .exact(time)
        try call(file) { () throws(VFSError) in _ = try target.setAttributes(node, change, by: .root) }
    }

    @discardableResult
    private func call<Result>(
        _ file: SourceFile, _ body: () throws(VFSError) -> Result
    ) throws(ImageBuildError) -> Result {
        do throws(VFSError) { return try body() } catch { throw .unsuitable(path: file.path, error) }
    }
}
