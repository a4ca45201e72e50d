import VFS

/// What can be done to a small tree that holds `a` (5,000 bytes), `d/b` (40 bytes) and `empty/`.
public enum FileOperation: CaseIterable, Sendable {
    case create, write, outgrowInline, truncate, extend, unlink, renameIntoDirectory, renameOver, exchange
    case makeDirectory, removeDirectory, link, symbolicLink, setAttribute, largeAttribute, punch, permissions, sync
    /// A copy of `a` that shares its blocks, where the filesystem can.
    case clone
    /// `a` loses its name and stays in use.
    case unlinkInUse
    /// What `a` had comes free for good, and another file is given as much.
    case recycle

    /// - Throws: what the filesystem refuses, since an earlier operation took away what this one needs, for example.
    public func perform(_ files: some FileSystem) throws(VFSError) {
        let directory = try files.find("d")
        switch self {
        case .create: try files.make("n")
        case .write: try files.write(.pattern(6000, seed: 1), to: try files.find("a"), at: 1000)
        case .outgrowInline:
            try files.write(.pattern(3000, seed: 2), to: try files.find("b", in: directory), at: 50)
        case .truncate: try files.setSize(100, of: try files.find("a"))
        case .extend: try files.setSize(50_000, of: try files.find("a"))
        case .unlink: try files.remove("a")
        case .renameIntoDirectory:
            try files.rename(Name("a"), in: files.root, to: Name("a"), in: directory, [])
        case .renameOver: try files.rename(Name("b"), in: directory, to: Name("a"), in: files.root, [])
        case .exchange: try files.rename(Name("b"), in: directory, to: Name("a"), in: files.root, .exchange)
        case .makeDirectory: try files.make("e", kind: .directory, permissions: 0o755)
        case .removeDirectory: try files.remove("empty", kind: .directory)
        case .link:
            let entry = try files.link(try files.find("a"), as: Name("l"), in: directory)
            files.forget(entry.node, count: 1)
        case .symbolicLink: try files.make("s", kind: .symbolicLink, permissions: 0o777, target: "d/b")
        case .setAttribute:
            try files.setExtendedAttribute(
                Array("user.a".utf8), of: try files.find("a"), to: [1, 2, 3], .createOrReplace)
        case .largeAttribute:
            try files.setExtendedAttribute(
                Array("user.b".utf8), of: directory, to: .pattern(9000, seed: 3), .createOrReplace)
        case .punch: try files.allocate(try files.find("a"), .none, 4096..<9000, .punchHole)
        case .permissions:
            var change = AttributeChange()
            change.permissions = 0o600
            _ = try files.setAttributes(try files.find("a"), change, by: .root)
        case .sync: try files.sync()
        case .clone: try clone(files)
        case .unlinkInUse:
            _ = try files.lookup(Name("a"), in: files.root)
            try files.remove("a")
        case .recycle:
            try files.remove("a")
            try files.sync()
            try files.allocate(try files.make("r"), .none, 0..<20_000, .allocate)
        }
    }

    /// Whether it makes something durable by itself, so that a crash may show its half.
    public var commits: Bool { self == .sync || self == .recycle }

    private func clone(_ files: some FileSystem) throws(VFSError) {
        let source = try files.find("a")
        let size = try files.attributes(source).size
        let target = try files.make("c")
        do throws(VFSError) {
            try files.clone(source, 0..<size, to: target, at: 0, [])
        } catch {
            guard error.errno == .notSupported else { throw error }
            try files.write(try files.read(source, count: Int(clamping: size)), to: target, at: 0)
        }
    }

    /// Makes the tree that operations expect.
    static func prepare(_ files: some FileSystem) throws(VFSError) {
        try files.write(.pattern(5000, seed: 9), to: try files.make("a"), at: 0)
        let directory = try files.make("d", kind: .directory, permissions: 0o755)
        try files.write(.pattern(40, seed: 8), to: try files.make("b", in: directory), at: 0)
        try files.make("empty", kind: .directory, permissions: 0o755)
    }
}
