import CFUSE
import Glibc
import VFS

/// Opens of files, and what is done with them.
extension Server {
    func open(_ raw: OpaquePointer?, _ node: UInt64, _ file: UnsafeMutablePointer<fuse_file_info>?) {
        serve(raw, "open \(node) \(Self.described(file))") { request throws(VFSError) in
            guard let file = file?.pointee else { throw VFSError(.invalidArgument) }
            let node = nodes.node(node)
            let handle = try open(node, file.flags)
            reply(opened: node, handle, file, request)
        }
    }

    func create(
        _ raw: OpaquePointer?, _ parent: UInt64, _ name: UnsafePointer<CChar>?, _ mode: mode_t,
        _ file: UnsafeMutablePointer<fuse_file_info>?
    ) {
        serve(raw, "create \(parent) \(Self.quoted(name)) \(String(mode, radix: 8)) \(Self.described(file))") {
            request throws(VFSError) in
            guard let file = file?.pointee else { throw VFSError(.invalidArgument) }
            let entry = try makeOrFind(
                try Self.name(name), nodes.node(parent), UInt16(mode & 0o7777), file.flags & O_EXCL != 0, request)
            let handle: Handle
            do throws(VFSError) { handle = try open(entry.node, file.flags) } catch {
                filesystem.forget(entry.node, count: 1)
                throw error
            }
            var reply = file
            reply.fh = handle.rawValue
            reply.keep_cache = traits.ownsState ? 1 : 0
            reply.direct_io = traits.bypassesCaches ? 1 : 0
            references.addOpen(entry.node, handle)
            references.addLookup(entry.node)
            if !request.reply(entry, opened: reply) {
                close(entry.node, handle)
                forget(entry.node, 1)
            }
        }
    }

    /// The kernel believes the name free, but somebody may have been faster.
    private func makeOrFind(
        _ name: Name, _ parent: NodeID, _ permissions: UInt16, _ exclusive: Bool, _ request: Request
    ) throws(VFSError) -> Entry {
        let new = NewNode(kind: .regular, permissions: permissions, umask: request.umask)
        do throws(VFSError) {
            return try filesystem.make(new, named: name, in: parent, by: maker(of: new, request))
        } catch {
            guard error.errno == .fileExists, !exclusive else { throw error }
            return try filesystem.lookup(name, in: parent)
        }
    }

    private func open(_ node: NodeID, _ flags: Int32) throws(VFSError) -> Handle {
        var open: OpenFlags = []
        switch flags & O_ACCMODE {
        case O_RDONLY: open = .read
        case O_WRONLY: open = .write
        default: open = [.read, .write]
        }
        if flags & O_APPEND != 0 { open.insert(.append) }
        if flags & Self.noAccessTime != 0 { open.insert(.noAccessTime) }
        let handle = try filesystem.open(node, open)
        guard flags & O_TRUNC != 0 else { return handle }
        do throws(VFSError) { try truncate(node) } catch {
            filesystem.close(node, handle)
            throw error
        }
        return handle
    }

    /// `O_TRUNC` by attributes rather than by the open's flag, because it may have to clear privileges.
    private func truncate(_ node: NodeID) throws(VFSError) {
        var change = AttributeChange()
        change.size = 0
        change.modificationTime = .now
        if privileges.isOurs {
            change.clearsPrivileges = Worker.current.killsPrivileges
            if !change.clearsPrivileges { try dropCapabilities(of: node) }
        }
        _ = try filesystem.setAttributes(node, change, by: .root)
    }

    /// `O_NOATIME` of `open(2)` on Linux, which the C library shows only to GNU sources.
    private static let noAccessTime: Int32 = 0o1000000

    private func reply(opened node: NodeID, _ handle: Handle, _ file: fuse_file_info, _ request: Request) {
        var reply = file
        reply.fh = handle.rawValue
        reply.keep_cache = traits.ownsState ? 1 : 0
        reply.direct_io = traits.bypassesCaches ? 1 : 0
        references.addOpen(node, handle)
        if !request.reply(opened: reply) { close(node, handle) }
    }

    func close(_ node: NodeID, _ handle: Handle) {
        if references.removeOpen(node, handle) { filesystem.close(node, handle) }
    }

    func release(_ raw: OpaquePointer?, _ node: UInt64, _ file: UnsafeMutablePointer<fuse_file_info>?) {
        serve(raw, "release \(node) \(file?.pointee.fh ?? 0)") { request throws(VFSError) in
            close(nodes.node(node), Self.handle(file))
            request.succeed()
        }
    }

    func read(
        _ raw: OpaquePointer?, _ node: UInt64, _ size: Int, _ offset: off_t,
        _ file: UnsafeMutablePointer<fuse_file_info>?
    ) {
        serve(raw, "read \(node) \(size) at \(offset)") { request throws(VFSError) in
            let room = Worker.current.room(size)
            let count = try filesystem.read(
                nodes.node(node), Self.handle(file), at: try Self.offset(offset), into: room)
            request.reply(UnsafeRawBufferPointer(rebasing: room[..<min(count, room.count)]))
        }
    }

    /// Writes of so many bytes are answered before they are sealed: who wrote them prepares the next while they are. Less takes
    /// no longer to seal than to wake the one who waits.
    private static let earlyAnswerBytes = 65536

    func write(
        _ raw: OpaquePointer?, _ node: UInt64, _ bytes: UnsafeRawBufferPointer, _ offset: off_t,
        _ file: UnsafeMutablePointer<fuse_file_info>?
    ) {
        serve(raw, "write \(node) \(bytes.count) at \(offset)") { request throws(VFSError) in
            let node = nodes.node(node)
            var flags: WriteFlags = []
            if privileges.isOurs {
                if Worker.current.killsPrivileges {
                    flags = .clearsPrivileges
                } else {
                    try dropCapabilities(of: node)
                }
            }
            // The kernel finds the end for O_APPEND, rightly where nobody else writes.
            let appends = !traits.ownsState && (file?.pointee.flags ?? 0) & O_APPEND != 0
            let start: WritePosition = appends ? .end : .offset(try Self.offset(offset))
            var isAnswered = false
            func answer(_ count: Int) {
                if !isAnswered { request.reply(written: count) }
                isAnswered = true
            }
            do throws(VFSError) {
                let count = try write(node, Self.handle(file), start, bytes, flags) { count in
                    if count >= Self.earlyAnswerBytes { answer(count) }
                }
                answer(count)
            } catch {
                guard isAnswered else { throw error }
                // The filesystem takes no more writes now, and the next `fsync` or write tells.
                if let fault = error.fault { faults.report(fault) }
            }
        }
    }

    /// Writes as much as it can: an error after some bytes is a short write, and the next one tells.
    /// - Parameter accepted: called once at most, when all bytes are as good as written.
    private func write(
        _ node: NodeID, _ handle: Handle, _ start: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags, accepted: (Int) -> Void
    ) throws(VFSError) -> Int {
        var position = start
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            do throws(VFSError) {
                let written = try filesystem.write(node, handle, at: position, rest, flags) { written in
                    if written.count == rest.count { accepted(bytes.count) }
                }
                guard written.count > 0 else { throw VFSError(.ioError, fault: "a write made no progress") }
                done += written.count
                if case .offset(let offset) = position { position = .offset(offset + UInt64(written.count)) }
            } catch {
                guard done > 0 else { throw error }
                return done
            }
        }
        return done
    }

    func synchronise(_ raw: OpaquePointer?, _ node: UInt64, _ dataOnly: Bool, directory: Bool) {
        serve(raw, "\(directory ? "fsyncdir" : "fsync") \(node)\(dataOnly ? " data" : "")") {
            request throws(VFSError) in
            let node = nodes.node(node)
            // The root stands for the whole filesystem: FUSE hands on neither sync(2) nor syncfs(2).
            let whole = directory && nodes.isRoot(node)
            let ticket = try filesystem.commit(whole ? nil : node, dataOnly: dataOnly && !whole)
            committer.answer(request, when: ticket)
        }
    }

    static func handle(_ file: UnsafeMutablePointer<fuse_file_info>?) -> Handle {
        file.map { Handle(rawValue: $0.pointee.fh) } ?? .none
    }

    static func offset(_ offset: off_t) throws(VFSError) -> UInt64 {
        guard let offset = UInt64(exactly: offset) else { throw VFSError(.invalidArgument) }
        return offset
    }

    private static func described(_ file: UnsafeMutablePointer<fuse_file_info>?) -> String {
        guard let flags = file?.pointee.flags else { return "" }
        var text = ["read", "write", "read/write", "?"][Int(flags & O_ACCMODE)]
        if flags & O_TRUNC != 0 { text += " truncate" }
        if flags & O_APPEND != 0 { text += " append" }
        if flags & O_EXCL != 0 { text += " exclusive" }
        return text
    }
}
