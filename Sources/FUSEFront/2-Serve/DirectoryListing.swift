import CFUSE
import Glibc
import VFS

/// A reply to `readdir` being filled, in the kernel's layout.
struct DirectoryListing {
    let plus: Bool
    /// Nodes whose lookup count went up with this reply.
    private(set) var handedOut: [NodeID] = []
    private let server: Server
    private let request: OpaquePointer
    private let room: UnsafeMutableRawBufferPointer
    private var used = 0

    init(_ server: Server, _ request: OpaquePointer, _ room: UnsafeMutableRawBufferPointer, plus: Bool) {
        self.server = server
        self.request = request
        self.room = room
        self.plus = plus
    }

    var isEmpty: Bool { used == 0 }
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: room[..<used]) }

    /// `.` or `..`, which the kernel neither looks up nor counts.
    mutating func add(_ name: String, _ node: NodeID, _ cookie: DirectoryCookie) -> Bool {
        var parameters = fuse_entry_param()
        parameters.attr.st_ino = UInt(node.rawValue)
        parameters.attr.st_mode = NodeKind.directory.modeBits
        return append(Array(name.utf8), &parameters, cookie)
    }

    /// - Returns: whether there was room.
    mutating func add(_ entry: DirectoryEntry) -> Bool {
        var parameters = fuse_entry_param()
        if plus, let attributes = entry.attributes {
            parameters = server.parameters(entry.node, attributes)
        } else {
            parameters.attr.st_ino = UInt(entry.node.rawValue)
            parameters.attr.st_mode = entry.kind.modeBits
        }
        guard append(entry.name.bytes, &parameters, entry.cookie) else { return false }
        if plus, entry.attributes != nil {
            server.references.addLookup(entry.node)
            handedOut.append(entry.node)
        }
        return true
    }

    private mutating func append(
        _ name: [UInt8], _ parameters: inout fuse_entry_param, _ cookie: DirectoryCookie
    ) -> Bool {
        // SAFETY: libfuse writes at most `left` bytes at `free`, which is inside `room`; the name ends in a NUL.
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Name.maximumBytes + 1) { text in
            for (index, byte) in name.enumerated() { text[index] = CChar(bitPattern: byte) }
            text[name.count] = 0
            let left = room.count - used
            let free = (room.baseAddress.map { $0 + used })?.assumingMemoryBound(to: CChar.self)
            let offset = off_t(clamping: cookie.rawValue)
            let needed =
                plus
                ? fuse_add_direntry_plus(request, free, left, text.baseAddress, &parameters, offset)
                : fuse_add_direntry(request, free, left, text.baseAddress, &parameters.attr, offset)
            guard needed <= left else { return false }
            used += needed
            return true
        }
    }
}
