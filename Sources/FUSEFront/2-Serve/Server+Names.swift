import CFUSE
import Glibc
import VFS

/// Names: looking up, making, linking, removing, renaming.
extension Server {
    func lookup(_ raw: OpaquePointer?, _ parent: UInt64, _ name: UnsafePointer<CChar>?) {
        serve(raw, "lookup \(parent) \(Self.quoted(name))") { request throws(VFSError) in
            let entry: Entry
            do throws(VFSError) {
                entry = try filesystem.lookup(try Self.name(name), in: nodes.node(parent))
            } catch {
                if error.errno == .noSuchFileOrDirectory { return request.replyNoEntry() }
                throw error
            }
            hand(entry) { request.reply($0) }
        }
    }

    func forget(_ raw: OpaquePointer?, _ node: UInt64, _ count: UInt64) {
        serve(raw, "forget \(node) \(count)") { request throws(VFSError) in
            forget(nodes.node(node), count)
            request.end()
        }
    }

    func forget(_ raw: OpaquePointer?, _ list: UnsafeBufferPointer<fuse_forget_data>) {
        serve(raw, "forget \(list.count) nodes") { request throws(VFSError) in
            for item in list { forget(nodes.node(item.ino), item.nlookup) }
            request.end()
        }
    }

    func readLink(_ raw: OpaquePointer?, _ node: UInt64) {
        serve(raw, "readlink \(node)") { request throws(VFSError) in
            request.reply(target: try filesystem.readLink(nodes.node(node)))
        }
    }

    func makeNode(
        _ raw: OpaquePointer?, _ parent: UInt64, _ name: UnsafePointer<CChar>?, _ mode: mode_t, _ device: dev_t
    ) {
        serve(raw, "mknod \(parent) \(Self.quoted(name)) \(String(mode, radix: 8))") { request throws(VFSError) in
            // mknod(2): no type is a regular file.
            guard let kind = mode & S_IFMT == 0 ? .regular : NodeKind(mode: mode) else {
                throw VFSError(.invalidArgument)
            }
            let new = NewNode(
                kind: kind, permissions: UInt16(mode & 0o7777), umask: request.umask, device: UInt64(device))
            try make(new, name, parent, request)
        }
    }

    func makeDirectory(_ raw: OpaquePointer?, _ parent: UInt64, _ name: UnsafePointer<CChar>?, _ mode: mode_t) {
        serve(raw, "mkdir \(parent) \(Self.quoted(name)) \(String(mode, radix: 8))") { request throws(VFSError) in
            let new = NewNode(kind: .directory, permissions: UInt16(mode & 0o7777), umask: request.umask)
            try make(new, name, parent, request)
        }
    }

    func makeSymbolicLink(
        _ raw: OpaquePointer?, _ target: UnsafePointer<CChar>?, _ parent: UInt64, _ name: UnsafePointer<CChar>?
    ) {
        serve(raw, "symlink \(parent) \(Self.quoted(name)) \(Self.quoted(target))") { request throws(VFSError) in
            let new = NewNode(kind: .symbolicLink, permissions: 0o777, target: Self.bytes(target))
            try make(new, name, parent, request)
        }
    }

    private func make(
        _ new: NewNode, _ name: UnsafePointer<CChar>?, _ parent: UInt64, _ request: Request
    ) throws(VFSError) {
        let entry = try filesystem.make(
            new, named: try Self.name(name), in: nodes.node(parent), by: maker(of: new, request))
        hand(entry) { request.reply($0) }
    }

    /// Groups decide only whether a set-group-ID bit asked for may stay.
    func maker(of new: NewNode, _ request: Request) -> Caller {
        new.permissions & 0o2000 != 0 && new.kind != .directory ? request.callerWithGroups : request.caller
    }

    func link(_ raw: OpaquePointer?, _ node: UInt64, _ parent: UInt64, _ name: UnsafePointer<CChar>?) {
        serve(raw, "link \(node) \(parent) \(Self.quoted(name))") { request throws(VFSError) in
            let entry = try filesystem.link(nodes.node(node), as: try Self.name(name), in: nodes.node(parent))
            hand(entry) { request.reply($0) }
        }
    }

    func remove(_ raw: OpaquePointer?, _ parent: UInt64, _ name: UnsafePointer<CChar>?, _ kind: RemovalKind) {
        serve(raw, "\(kind == .directory ? "rmdir" : "unlink") \(parent) \(Self.quoted(name))") {
            request throws(VFSError) in
            try filesystem.remove(try Self.name(name), in: nodes.node(parent), kind)
            request.succeed()
        }
    }

    func rename(
        _ raw: OpaquePointer?, _ parent: UInt64, _ name: UnsafePointer<CChar>?, _ newParent: UInt64,
        _ newName: UnsafePointer<CChar>?, _ flags: UInt32
    ) {
        serve(raw, "rename \(parent) \(Self.quoted(name)) \(newParent) \(Self.quoted(newName)) \(flags)") {
            request throws(VFSError) in
            let known: RenameFlags = [.noReplace, .exchange]
            guard flags & ~known.rawValue == 0 else { throw VFSError(.invalidArgument) }
            try filesystem.rename(
                try Self.name(name), in: nodes.node(parent), to: try Self.name(newName),
                in: nodes.node(newParent), RenameFlags(rawValue: flags))
            request.succeed()
        }
    }
}
