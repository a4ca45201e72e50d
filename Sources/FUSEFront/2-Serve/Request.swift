import CFUSE
import Glibc
import VFS

/// One request of the kernel in our hands: who asks, and the one reply it gets.
struct Request: @unchecked Sendable {
    // SAFETY: libfuse's request may be answered from any thread, once; the server outlives its requests.
    let raw: OpaquePointer
    unowned let server: Server
    /// The trace's line, when there is a trace.
    private var text: String?
    private var began: UInt64 = 0

    init(_ raw: OpaquePointer, _ server: Server) {
        self.raw = raw
        self.server = server
    }

    /// Notes what is asked for, if anybody wants to read it.
    mutating func trace(_ text: @autoclosure () -> String) {
        guard server.trace != nil else { return }
        self.text = text()
        began = Worker.current.began
    }

    var caller: Caller {
        guard let context = fuse_req_ctx(raw) else { return .root }
        return Caller(user: context.pointee.uid, group: context.pointee.gid, process: context.pointee.pid)
    }

    /// What a new node is to leave out of its permissions; nothing where the kernel has done so.
    var umask: UInt16 {
        guard server.enforcesLists.load(ordering: .acquiring), let context = fuse_req_ctx(raw) else { return 0 }
        return UInt16(context.pointee.umask & 0o777)
    }

    /// With supplementary groups, which only `/proc` tells: for the few calls where they decide something.
    var callerWithGroups: Caller {
        var caller = caller
        var groups = [gid_t](repeating: 0, count: 64)
        var count = fuse_req_getgroups(raw, Int32(groups.count), &groups)
        if count > groups.count {
            groups = [gid_t](repeating: 0, count: Int(count))
            count = fuse_req_getgroups(raw, count, &groups)
        }
        if count > 0 { caller.groups = Array(groups.prefix(Int(count))) }
        return caller
    }

    func note(_ result: @autoclosure () -> String) {
        guard let text, let trace = server.trace else { return }
        trace.line(text, result: result(), began: began)
    }

    func fail(_ error: VFSError) {
        if let fault = error.fault { server.faults.report(fault) }
        // An error number of 0 would be a success.
        fail(error.errno.rawValue == 0 ? EIO : error.errno.rawValue)
    }

    func fail(_ errno: Int32) {
        note(String(describing: Errno(rawValue: errno)))
        fuse_reply_err(raw, errno)
    }

    func succeed() {
        note("0")
        fuse_reply_err(raw, 0)
    }

    func reply(_ bytes: UnsafeRawBufferPointer) {
        note("\(bytes.count) bytes")
        fuse_reply_buf(raw, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }

    func reply(written count: Int) {
        note("\(count) bytes")
        fuse_reply_write(raw, count)
    }

    func reply(_ attributes: Attributes) {
        note(Self.described(attributes))
        var status = attributes.status
        fuse_reply_attr(raw, &status, server.attributeSeconds)
    }

    /// - Returns: whether the kernel took it.
    func reply(_ entry: Entry) -> Bool {
        note("node \(entry.node.rawValue), \(Self.described(entry.attributes))")
        var parameters = server.parameters(entry.node, entry.attributes)
        return fuse_reply_entry(raw, &parameters) == 0
    }

    /// Tells the kernel that there is no such name, which it then remembers.
    func replyNoEntry() {
        note(String(describing: Errno.noSuchFileOrDirectory))
        var parameters = fuse_entry_param()
        parameters.entry_timeout = server.entrySeconds
        fuse_reply_entry(raw, &parameters)
    }

    func reply(_ entry: Entry, opened file: fuse_file_info) -> Bool {
        note("node \(entry.node.rawValue), handle \(file.fh), \(Self.described(entry.attributes))")
        var parameters = server.parameters(entry.node, entry.attributes)
        var file = file
        return fuse_reply_create(raw, &parameters, &file) == 0
    }

    func reply(opened file: fuse_file_info) -> Bool {
        note("handle \(file.fh)")
        var file = file
        return fuse_reply_open(raw, &file) == 0
    }

    func reply(size: Int) {
        note("needs \(size) bytes")
        fuse_reply_xattr(raw, size)
    }

    func reply(offset: UInt64) {
        note("\(offset)")
        fuse_reply_lseek(raw, off_t(clamping: offset))
    }

    func reply(_ statistics: Statistics) {
        note("\(statistics.availableBlocks) of \(statistics.totalBlocks) blocks left")
        var status = statvfs()
        status.f_bsize = UInt(statistics.blockBytes)
        status.f_frsize = UInt(statistics.blockBytes)
        status.f_blocks = UInt(statistics.totalBlocks)
        status.f_bfree = UInt(statistics.freeBlocks)
        status.f_bavail = UInt(statistics.availableBlocks)
        status.f_files = UInt(statistics.totalNodes)
        status.f_ffree = UInt(statistics.freeNodes)
        status.f_favail = UInt(statistics.freeNodes)
        status.f_namemax = UInt(statistics.maximumNameBytes)
        fuse_reply_statfs(raw, &status)
    }

    func reply(target: [UInt8]) {
        note(OperationTrace.quoted(target))
        let text = target.map { CChar(bitPattern: $0) } + [0]
        fuse_reply_readlink(raw, text)
    }

    func reply(control output: [UInt8]) {
        note("\(output.count) bytes")
        fuse_reply_ioctl(raw, 0, output, output.count)
    }

    /// Ends a request the kernel wants no answer to.
    func end() {
        note("")
        fuse_reply_none(raw)
    }

    private static func described(_ attributes: Attributes) -> String {
        "\(attributes.kind) \(String(attributes.permissions, radix: 8)) \(attributes.size) bytes"
    }
}
