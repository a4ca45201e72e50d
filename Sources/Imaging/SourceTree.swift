import SecureBlock
import VFS

/// A file of the tree that an image is made of.
struct SourceFile {
    let node: NodeID
    let name: Name?
    let attributes: Attributes
    /// From the tree's root, for messages.
    let path: String
    /// Whether it is one more name of a file that came before.
    var isAnotherName = false
}

/// What is done with a tree, file by file.
protocol TreeVisitor {
    /// What the visitor needs to know of a directory to put something there.
    associatedtype Place
    /// A directory, before what is in it.
    mutating func enter(_ directory: SourceFile, in place: Place) throws(ImageBuildError) -> Place
    /// A directory, after what is in it.
    mutating func leave(_ directory: SourceFile, _ place: Place) throws(ImageBuildError)
    /// Any other file.
    mutating func add(_ file: SourceFile, in place: Place) throws(ImageBuildError)
}

/// A tree of files, read in the one order that depends on nothing but names: each directory before what is in it, and that by the bytes of its names.
final class SourceTree {
    /// Where a file system finds no holes, all is read; each piece begins at a multiple of this, wherever the holes are.
    private static let pieceBytes = 1 << 20
    /// The deepest directory: further down a walk would run out of stack and descriptors.
    private static let maximumDepth = 1000

    private let files: any FileSystem
    private let buffer = AlignedBuffer(byteCount: SourceTree.pieceBytes)
    /// Files with several names that came already. Held, so that the next name is found to be of the same file.
    private var linked: Set<NodeID> = []
    /// Sockets, which are nothing without the process that listens; by path.
    private(set) var leftOut: [String] = []

    init(_ files: any FileSystem) { self.files = files }

    deinit {
        for node in linked { files.forget(node, count: 1) }
    }

    func root() throws(ImageBuildError) -> SourceFile {
        let attributes = try call("/") { () throws(VFSError) in try files.attributes(files.root) }
        return SourceFile(node: files.root, name: nil, attributes: attributes, path: "/")
    }

    func walk<Visitor: TreeVisitor>(_ visitor: inout Visitor, from place: Visitor.Place) throws(ImageBuildError) {
        try walk(try root(), place, &visitor, depth: 0)
    }

    private func walk<Visitor: TreeVisitor>(
        _ directory: SourceFile, _ place: Visitor.Place, _ visitor: inout Visitor, depth: Int
    ) throws(ImageBuildError) {
        guard depth <= Self.maximumDepth else { throw .tooDeep(path: directory.path) }
        for name in try names(in: directory) {
            let path = (directory.path == "/" ? "" : directory.path) + "/\(name)"
            let entry = try call(path) { () throws(VFSError) in try files.lookup(name, in: directory.node) }
            var file = SourceFile(node: entry.node, name: name, attributes: entry.attributes, path: path)
            var isHeld = false
            defer { if !isHeld { files.forget(entry.node, count: 1) } }
            switch file.attributes.kind {
            case .directory:
                let inside = try visitor.enter(file, in: place)
                try walk(file, inside, &visitor, depth: depth + 1)
                try visitor.leave(file, inside)
            case .socket: leftOut.append(path)
            default:
                if file.attributes.linkCount > 1 {
                    isHeld = linked.insert(file.node).inserted
                    file.isAnotherName = !isHeld
                }
                try visitor.add(file, in: place)
            }
        }
    }

    /// In the order of their bytes.
    private func names(in directory: SourceFile) throws(ImageBuildError) -> [Name] {
        var names: [Name] = []
        try call(directory.path) { () throws(VFSError) in
            let handle = try files.open(directory.node, [.read, .directory, .noAccessTime])
            defer { files.close(directory.node, handle) }
            try files.readDirectory(directory.node, handle, after: .start, plus: false) {
                names.append($0.name)
                return true
            }
        }
        return names.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    }

    func target(of link: SourceFile) throws(ImageBuildError) -> [UInt8] {
        try call(link.path) { () throws(VFSError) in try files.readLink(link.node) }
    }

    /// Attributes that belong to the file, by name: users' own, access control lists, file capabilities and trusted ones.
    /// Not what belongs to the machine, such as labels.
    func extendedAttributes(of file: SourceFile) throws(ImageBuildError) -> [(name: [UInt8], value: [UInt8])] {
        do throws(VFSError) {
            var found: [(name: [UInt8], value: [UInt8])] = []
            let names = try files.extendedAttributeNames(of: file.node)
            for name in names.sorted(by: { $0.lexicographicallyPrecedes($1) }) where Self.isKept(name) {
                found.append((name, try files.extendedAttribute(name, of: file.node)))
            }
            return found
        } catch {
            if error.errno == .notSupported { return [] }
            throw .source(path: file.path, error)
        }
    }

    private static let keptNames = [
        "security.capability", "system.posix_acl_access", "system.posix_acl_default",
    ].map { Array($0.utf8) }
    private static let keptSpaces = ["user.", "trusted."].map { Array($0.utf8) }

    private static func isKept(_ name: [UInt8]) -> Bool {
        keptNames.contains(name) || keptSpaces.contains { name.starts(with: $0) }
    }

    /// Gives a regular file's bytes to `body`, but for whole blocks of zeros: the same runs, however the file is stored.
    /// - Throws: ``ImageBuildError/changed(path:)`` if it is not the file that it was.
    func forEachRun(
        of file: SourceFile, _ body: (UInt64, UnsafeRawBufferPointer) throws(ImageBuildError) -> Void
    ) throws(ImageBuildError) {
        let size = file.attributes.size
        guard size > 0 else { return }
        let handle = try call(file.path) { () throws(VFSError) in try files.open(file.node, [.read, .noAccessTime])
        }
        defer { files.close(file.node, handle) }
        var offset: UInt64 = 0
        while offset < size {
            offset = try dataOffset(file, handle, from: offset)
            guard offset < size else { break }
            let count = Int(min(UInt64(Self.pieceBytes), size - offset))
            let piece = buffer.slice(0, count)
            let read = try call(file.path) { () throws(VFSError) in
                try files.read(file.node, handle, at: offset, into: piece)
            }
            guard read == count else { throw .changed(path: file.path) }
            try Self.forEachRun(in: UnsafeRawBufferPointer(piece)) { start, run throws(ImageBuildError) in
                try body(offset + UInt64(start), run)
            }
            offset += UInt64(count)
        }
        let now = try call(file.path) { () throws(VFSError) in try files.attributes(file.node) }
        guard now.size == size, now.modificationTime == file.attributes.modificationTime,
            now.changeTime == file.attributes.changeTime
        else { throw .changed(path: file.path) }
    }

    /// The beginning of the next piece that may hold something.
    private func dataOffset(_ file: SourceFile, _ handle: Handle, from offset: UInt64) throws(ImageBuildError)
        -> UInt64
    {
        do throws(VFSError) {
            let data = try files.seek(file.node, handle, from: offset, to: .data)
            return max(offset, data / UInt64(Self.pieceBytes) * UInt64(Self.pieceBytes))
        } catch {
            if error.errno == .noSuchAddressOrDevice { return file.attributes.size }
            // No holes to be told of here.
            if error.errno == .notSupported || error.errno == .noFunction || error.errno == .invalidArgument {
                return offset
            }
            throw .source(path: file.path, error)
        }
    }

    private static func forEachRun(
        in piece: UnsafeRawBufferPointer, _ body: (Int, UnsafeRawBufferPointer) throws(ImageBuildError) -> Void
    ) throws(ImageBuildError) {
        var start: Int?
        for block in stride(from: 0, to: piece.count, by: blockBytes) {
            let end = min(block + blockBytes, piece.count)
            if UnsafeRawBufferPointer(rebasing: piece[block..<end]).isZero {
                if let first = start { try body(first, UnsafeRawBufferPointer(rebasing: piece[first..<block])) }
                start = nil
            } else if start == nil {
                start = block
            }
        }
        if let start { try body(start, UnsafeRawBufferPointer(rebasing: piece[start...])) }
    }

    private func call<Result>(
        _ path: String, _ body: () throws(VFSError) -> Result
    ) throws(ImageBuildError) -> Result {
        do throws(VFSError) { return try body() } catch { throw .source(path: path, error) }
    }
}
