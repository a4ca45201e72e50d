import CFUSE
import Glibc
import VFS

/// Directories. `.` and `..` have cookies 1 and 2; the filesystem's own start behind them.
extension Server {
    private static let dot = DirectoryCookie(rawValue: 1)
    private static let dotDot = DirectoryCookie(rawValue: 2)

    func openDirectory(_ raw: OpaquePointer?, _ node: UInt64, _ file: UnsafeMutablePointer<fuse_file_info>?) {
        serve(raw, "opendir \(node)") { request throws(VFSError) in
            guard var reply = file?.pointee else { throw VFSError(.invalidArgument) }
            let node = nodes.node(node)
            let handle = try filesystem.open(node, [.read, .directory])
            reply.fh = handle.rawValue
            references.addOpen(node, handle)
            if !request.reply(opened: reply) { close(node, handle) }
        }
    }

    func readDirectory(
        _ raw: OpaquePointer?, _ node: UInt64, _ size: Int, _ offset: off_t,
        _ file: UnsafeMutablePointer<fuse_file_info>?, plus: Bool
    ) {
        serve(raw, "\(plus ? "readdirplus" : "readdir") \(node) \(size) after \(offset)") {
            request throws(VFSError) in
            let node = nodes.node(node)
            var listing = DirectoryListing(self, request.raw, Worker.current.room(size), plus: plus)
            do throws(VFSError) {
                try fill(&listing, node, Self.handle(file), DirectoryCookie(rawValue: try Self.offset(offset)))
            } catch {
                // What was found is told; the error comes with the next call, where it is met again at once.
                guard !listing.isEmpty else { throw error }
            }
            if !request.reply(directory: listing.bytes) {
                for node in listing.handedOut { forget(node, 1) }
            }
        }
    }

    private func fill(
        _ listing: inout DirectoryListing, _ node: NodeID, _ handle: Handle, _ cookie: DirectoryCookie
    ) throws(VFSError) {
        var after = cookie
        if after == .start {
            guard listing.add(".", node, Self.dot) else { return }
            after = Self.dot
        }
        if after == Self.dot {
            guard listing.add("..", try filesystem.parent(of: node), Self.dotDot) else { return }
            after = Self.dotDot
        }
        if after == Self.dotDot { after = .start }
        try filesystem.readDirectory(node, handle, after: after, plus: listing.plus) { listing.add($0) }
    }
}

extension Request {
    /// - Returns: whether the kernel took it.
    func reply(directory bytes: UnsafeRawBufferPointer) -> Bool {
        note("\(bytes.count) bytes")
        return fuse_reply_buf(raw, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count) == 0
    }
}
