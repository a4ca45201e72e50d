import SecureBlock
import VFS

/// All that can be told of a file without knowing where it is stored.
struct FileRecord: Equatable {
    var kind: NodeKind
    var permissions: UInt16
    var owner: UInt32
    var group: UInt32
    var size: UInt64
    var links: UInt32
    var device: UInt64
    var modificationTime: Timestamp
    var contents: [UInt8] = []
    var target: [UInt8] = []
    var attributes: [[UInt8]: [UInt8]] = [:]
    /// The first path, by its bytes, of the same file.
    var firstName: String

    /// All below the root, by path.
    static func all(of files: any FileSystem) throws -> [String: FileRecord] {
        var records: [String: FileRecord] = [:]
        var names: [NodeID: String] = [:]
        func visit(_ node: NodeID, _ path: String) throws {
            let found = try files.attributes(node)
            let firstName = names[node] ?? path
            names[node] = firstName
            var record = FileRecord(
                kind: found.kind, permissions: found.permissions, owner: found.owner, group: found.group,
                size: found.kind == .directory ? 0 : found.size,
                links: found.kind == .directory ? 0 : found.linkCount,
                device: found.device, modificationTime: found.modificationTime, firstName: firstName)
            if found.kind == .symbolicLink {
                record.target = try files.readLink(node)
            } else {
                for name in try files.extendedAttributeNames(of: node) {
                    record.attributes[name] = try files.extendedAttribute(name, of: node)
                }
            }
            if found.kind == .regular { record.contents = try contents(of: node, found.size, on: files) }
            records[path] = record
            guard found.kind == .directory else { return }
            var children: [Name] = []
            let handle = try files.open(node, [.read, .directory])
            defer { files.close(node, handle) }
            try files.readDirectory(node, handle, after: .start, plus: false) {
                children.append($0.name)
                return true
            }
            for name in children.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
                try visit(try files.lookup(name, in: node).node, "\(path)/\(name)")
            }
        }
        try visit(files.root, "")
        return records
    }

    private static func contents(of node: NodeID, _ size: UInt64, on files: any FileSystem) throws -> [UInt8] {
        let handle = try files.open(node, [.read])
        defer { files.close(node, handle) }
        let buffer = AlignedBuffer(byteCount: max(1, Int(size)) + 1)
        return Array(buffer.bytes[..<(try files.read(node, handle, at: 0, into: buffer.bytes))])
    }
}
