import CFUSE
import Glibc
import Logging
import VFS

/// libfuse's table of callbacks, each going to the server that is the session's user data.
///
/// `access` is missing because the kernel checks permissions, `flush` because closing promises nothing, locks because
/// the kernel keeps them; libfuse answers those with `ENOSYS`, and the kernel does not ask again.
enum OperationTable {
    static func make() -> fuse_lowlevel_ops {
        var table = fuse_lowlevel_ops()
        table.`init` = { data, connection in Server.of(data)?.negotiate(connection) }
        addNames(&table)
        addAttributes(&table)
        addFiles(&table)
        addDirectories(&table)
        return table
    }

    private static func addNames(_ table: inout fuse_lowlevel_ops) {
        table.lookup = { Server.of(request: $0)?.lookup($0, $1, $2) }
        table.forget = { Server.of(request: $0)?.forget($0, $1, $2) }
        table.forget_multi = {
            Server.of(request: $0)?.forget($0, UnsafeBufferPointer(start: $2, count: $1))
        }
        table.readlink = { Server.of(request: $0)?.readLink($0, $1) }
        table.mknod = { Server.of(request: $0)?.makeNode($0, $1, $2, $3, $4) }
        table.mkdir = { Server.of(request: $0)?.makeDirectory($0, $1, $2, $3) }
        table.symlink = { Server.of(request: $0)?.makeSymbolicLink($0, $1, $2, $3) }
        table.link = { Server.of(request: $0)?.link($0, $1, $2, $3) }
        table.unlink = { Server.of(request: $0)?.remove($0, $1, $2, .nonDirectory) }
        table.rmdir = { Server.of(request: $0)?.remove($0, $1, $2, .directory) }
        table.rename = { Server.of(request: $0)?.rename($0, $1, $2, $3, $4, $5) }
    }

    private static func addAttributes(_ table: inout fuse_lowlevel_ops) {
        table.getattr = { request, node, _ in Server.of(request: request)?.attributes(request, node) }
        table.setattr = { request, node, status, which, _ in
            Server.of(request: request)?.setAttributes(request, node, status, which)
        }
        table.statfs = { Server.of(request: $0)?.statistics($0, $1) }
        table.getxattr = { Server.of(request: $0)?.extendedAttribute($0, $1, $2, $3) }
        table.listxattr = { Server.of(request: $0)?.extendedAttributeNames($0, $1, $2) }
        table.setxattr = { request, node, name, value, size, flags in
            let value = UnsafeRawBufferPointer(start: value, count: size)
            Server.of(request: request)?.setExtendedAttribute(request, node, name, value, flags)
        }
        table.removexattr = { Server.of(request: $0)?.removeExtendedAttribute($0, $1, $2) }
    }

    private static func addFiles(_ table: inout fuse_lowlevel_ops) {
        table.create = { Server.of(request: $0)?.create($0, $1, $2, $3, $4) }
        table.open = { Server.of(request: $0)?.open($0, $1, $2) }
        table.read = { Server.of(request: $0)?.read($0, $1, $2, $3, $4) }
        table.write = { request, node, bytes, size, offset, file in
            let bytes = UnsafeRawBufferPointer(start: bytes, count: size)
            Server.of(request: request)?.write(request, node, bytes, offset, file)
        }
        table.release = { Server.of(request: $0)?.release($0, $1, $2) }
        table.fsync = { request, node, dataOnly, _ in
            Server.of(request: request)?.synchronise(request, node, dataOnly != 0, directory: false)
        }
        table.fallocate = { Server.of(request: $0)?.allocate($0, $1, $2, $3, $4, $5) }
        table.lseek = { Server.of(request: $0)?.seek($0, $1, $2, $3, $4) }
        table.copy_file_range = { request, node, offset, file, target, targetOffset, targetFile, length, flags in
            Server.of(request: request)?.copy(
                request, (node, offset, file), (target, targetOffset, targetFile), length, flags)
        }
        table.ioctl = { request, node, command, _, _, flags, input, inputBytes, outputBytes in
            let input = UnsafeRawBufferPointer(start: input, count: inputBytes)
            Server.of(request: request)?.control(request, node, command, input, outputBytes)
        }
    }

    private static func addDirectories(_ table: inout fuse_lowlevel_ops) {
        table.opendir = { Server.of(request: $0)?.openDirectory($0, $1, $2) }
        table.readdir = { Server.of(request: $0)?.readDirectory($0, $1, $2, $3, $4, plus: false) }
        table.readdirplus = { Server.of(request: $0)?.readDirectory($0, $1, $2, $3, $4, plus: true) }
        table.releasedir = { Server.of(request: $0)?.release($0, $1, $2) }
        table.fsyncdir = { request, node, dataOnly, _ in
            Server.of(request: request)?.synchronise(request, node, dataOnly != 0, directory: true)
        }
    }
}

extension Server {
    static func of(_ data: UnsafeMutableRawPointer?) -> Server? {
        // SAFETY: the session keeps its server alive for as long as libfuse calls back.
        data.map { Unmanaged<Server>.fromOpaque($0).takeUnretainedValue() }
    }

    static func of(request: OpaquePointer?) -> Server? { of(fuse_req_userdata(request)) }

    /// What is asked of the kernel at INIT.
    func negotiate(_ connection: UnsafeMutablePointer<fuse_conn_info>?) {
        guard let connection else { return }
        func want(_ capability: UInt32, _ wanted: Bool) {
            if wanted, connection.pointee.capable & capability != 0 {
                connection.pointee.want |= capability
            } else {
                connection.pointee.want &= ~capability
            }
        }
        // Version 1 of privilege killing says nothing about who writes; version 2 is negotiated beside libfuse.
        want(UInt32(FUSE_CAP_HANDLE_KILLPRIV), false)
        // Splicing gains nothing here and costs pipes.
        want(UInt32(FUSE_CAP_SPLICE_READ), false)
        want(UInt32(FUSE_CAP_SPLICE_WRITE), false)
        want(UInt32(FUSE_CAP_SPLICE_MOVE), false)
        want(UInt32(FUSE_CAP_AUTO_INVAL_DATA), !traits.ownsState)
        want(UInt32(FUSE_CAP_CACHE_SYMLINKS), traits.ownsState)
        want(UInt32(FUSE_CAP_ATOMIC_O_TRUNC), true)
        want(UInt32(FUSE_CAP_PARALLEL_DIROPS), true)
        want(UInt32(FUSE_CAP_READDIRPLUS), true)
        want(UInt32(FUSE_CAP_READDIRPLUS_AUTO), true)
        want(UInt32(FUSE_CAP_IOCTL_DIR), true)
        // With lists the kernel checks permissions in any case, and the umask is ours: a default list replaces it.
        let lists = UInt32(FUSE_CAP_POSIX_ACL) | UInt32(FUSE_CAP_DONT_MASK)
        if options.checksPermissions, connection.pointee.capable & lists == lists {
            connection.pointee.want |= lists
            enforcesLists.store(true, ordering: .releasing)
        }
        connection.pointee.max_write = UInt32(FUSEOptions.requestBytes)
        connection.pointee.max_read = UInt32(options.maximumReadBytes ?? 0)
        connection.pointee.max_background = 64
        connection.pointee.congestion_threshold = 48
        connection.pointee.time_gran = 1
    }
}
