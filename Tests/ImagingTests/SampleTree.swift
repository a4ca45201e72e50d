import Foundation
import Imaging
import SecureBlock
import VFS

/// A tree of all that can be in one, made on any filesystem, in any order.
enum SampleTree {
    struct Item: Sendable {
        var path: String
        var kind = NodeKind.regular
        var permissions: UInt16 = 0o644
        var owner: UInt32 = 1000
        var group: UInt32 = 100
        var seconds: Int64 = 1_600_000_000
        var contents: [UInt8] = []
        /// Bytes of zeros before the contents.
        var hole: UInt64 = 0
        var target = ""
        var device: UInt64 = 0
        var attributes: [String: [UInt8]] = [:]
        /// Another name of this path.
        var linkTo: String?
    }

    static func text(_ count: Int, _ seed: Int = 1) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 7 &+ seed) | 1 }
    }

    /// `acl(5)`: a list for user 1001 beside the permissions, as stored in an attribute.
    static let accessList: [UInt8] = [
        2, 0, 0, 0,
        1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 233, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
        16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ]

    static let items: [Item] = [
        Item(path: "etc", kind: .directory, permissions: 0o755, seconds: 1_500_000_000),
        Item(path: "etc/passwd", contents: text(500)),
        Item(path: "etc/empty", permissions: 0o600, owner: 0, group: 0),
        Item(path: "etc/shared", kind: .directory, permissions: 0o2775, group: 50),
        Item(path: "etc/shared/inside", permissions: 0o640, contents: text(3000)),
        Item(path: "etc/shared/below", kind: .directory, permissions: 0o700),
        Item(path: "bin", kind: .directory, permissions: 0o555, owner: 0, group: 0),
        Item(path: "bin/program", permissions: 0o4755, contents: text(300_000)),
        Item(
            path: "bin/limited", permissions: 0o2711, contents: text(70_000),
            attributes: ["user.origin": Array("here".utf8), "user.a": []]),
        Item(path: "bin/again", linkTo: "bin/program"),
        Item(path: "etc/elsewhere", linkTo: "bin/program"),
        Item(path: "bin/sh", kind: .symbolicLink, permissions: 0o777, target: "program"),
        Item(path: "long", kind: .symbolicLink, permissions: 0o777, target: String(repeating: "x/", count: 700)),
        Item(path: "dev", kind: .directory),
        Item(path: "dev/pipe", kind: .fifo, permissions: 0o620),
        Item(path: "sparse", contents: text(5000), hole: 3 << 20),
        Item(path: "zeros", hole: 100_000),
        Item(path: "few zeros", hole: 100),
        Item(path: "late", seconds: 1_900_000_000, contents: text(10)),
        Item(path: "listed", permissions: 0o640, attributes: ["system.posix_acl_access": accessList]),
        Item(
            path: "lists", kind: .directory, permissions: 0o750,
            attributes: ["system.posix_acl_default": accessList, "user.big": text(3000)]),
        Item(path: "lists/child", contents: text(20)),
        Item(path: String(repeating: "n", count: 255), contents: text(4096)),
        Item(path: "\u{e4}\n\\", contents: text(4097)),
    ]

    /// Devices, which only root can make.
    static let devices = [
        Item(path: "dev/null", kind: .characterDevice, permissions: 0o666, device: 1 << 8 | 3),
        Item(path: "dev/loop", kind: .blockDevice, permissions: 0o660, device: 7 << 8),
    ]

    /// Makes `items` below the root of `files`, parents before children, and otherwise in the order that `isBefore` wants.
    static func make(
        _ items: [Item], on files: any FileSystem, setsOwners: Bool = true,
        by isBefore: (Item, Item) -> Bool = { _, _ in false }
    ) throws {
        func depth(_ item: Item) -> Int { item.path.split(separator: "/").count + (item.linkTo == nil ? 0 : 100) }
        let ordered = items.sorted { depth($0) != depth($1) ? depth($0) < depth($1) : isBefore($0, $1) }
        for item in ordered {
            let parts = item.path.split(separator: "/").map(String.init)
            let directory = try find(parts.dropLast().joined(separator: "/"), on: files)
            guard let name = parts.last else { continue }
            if let linkTo = item.linkTo {
                _ = try files.link(try find(linkTo, on: files), as: Name(name), in: directory)
                continue
            }
            let new = NewNode(
                kind: item.kind, permissions: 0o700, device: item.device, target: Array(item.target.utf8))
            let node = try files.make(new, named: Name(name), in: directory, by: .root).node
            if item.kind == .regular { try fill(node, item, on: files) }
        }
        for item in ordered.reversed() where item.linkTo == nil {
            let node = try find(item.path, on: files)
            if item.kind != .symbolicLink {
                for (name, value) in item.attributes {
                    try files.setExtendedAttribute(Array(name.utf8), of: node, to: value, .createOrReplace)
                }
            }
            var change = AttributeChange()
            if setsOwners {
                change.owner = item.owner
                change.group = item.group
                _ = try files.setAttributes(node, change, by: .root)
                change = AttributeChange()
            }
            if item.kind != .symbolicLink { change.permissions = item.permissions }
            change.modificationTime = .exact(Timestamp(seconds: item.seconds, nanoseconds: 123))
            _ = try files.setAttributes(node, change, by: .root)
        }
        var change = AttributeChange()
        change.permissions = 0o755
        change.modificationTime = .exact(Timestamp(seconds: 1_400_000_000, nanoseconds: 0))
        _ = try files.setAttributes(files.root, change, by: .root)
    }

    private static func fill(_ node: NodeID, _ item: Item, on files: any FileSystem) throws {
        let handle = try files.open(node, [.read, .write])
        defer { files.close(node, handle) }
        if !item.contents.isEmpty {
            _ = try item.contents.withUnsafeBytes {
                try files.write(node, handle, at: .offset(item.hole), $0, [])
            }
        } else if item.hole > 0 {
            var change = AttributeChange()
            change.size = item.hole
            _ = try files.setAttributes(node, change, by: .root)
        }
    }

    static func find(_ path: String, on files: any FileSystem) throws -> NodeID {
        var node = files.root
        for part in path.split(separator: "/") { node = try files.lookup(Name(String(part)), in: node).node }
        return node
    }
}

/// A directory of the host for one test.
final class TemporaryDirectory {
    let path: String

    init() throws {
        // On a disk: `/tmp` may be memory, and without extended attributes.
        let parent = ProcessInfo.processInfo.environment["CASEMATE_TEST_DIRECTORY"] ?? "/var/tmp"
        path = parent + "/casemate-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // What is left of a failed removal is in the temporary directory, where the system clears it.
        try? FileManager.default.removeItem(atPath: path)
    }
}
