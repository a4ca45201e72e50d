import CFUSE
import CLinux
import Glibc
import Logging
import Synchronization
import VFS

/// libfuse's session and the connection to the kernel under it.
final class SessionHandle: Sendable {
    // SAFETY: libfuse's low-level session may be read from and written to by any thread; taking it down happens after
    // the serving threads returned.
    nonisolated(unsafe) let raw: OpaquePointer
    private let mountpoint: String
    /// The mount's device number, by which it is known.
    private let device: String?
    private let logger: Logger
    private let isMounted = Atomic<Bool>(false)

    /// Mounts.
    init(_ server: Server, at mountpoint: String) throws(FUSEError) {
        self.mountpoint = mountpoint
        _ = LibraryLog.take()
        let list = server.options.mountList(typeName: server.traits.typeName)
        guard let raw = Self.session(["casemate", "-o", list], server) else {
            throw FUSEError.mountRefused(LibraryLog.take())
        }
        self.raw = raw
        guard fuse_session_mount(raw, mountpoint) == 0 else {
            let text = LibraryLog.take()
            let errno = errno
            fuse_session_destroy(raw)
            throw access("/dev/fuse", R_OK | W_OK) == 0
                ? FUSEError.mountRefused(text.isEmpty ? "\(Errno(rawValue: errno))" : text)
                : FUSEError.noFUSEDevice(.last)
        }
        logger = server.logger
        do throws(FUSEError) { device = try MountTable.top(at: mountpoint)?.device } catch {
            fuse_session_unmount(raw)
            fuse_session_destroy(raw)
            throw error
        }
        isMounted.store(true, ordering: .relaxed)
        var hooks = fuse_custom_io()
        hooks.read = { descriptor, room, count, _ in read(descriptor, room, count) }
        hooks.writev = { descriptor, parts, count, data in
            let isFirst = Server.of(data)?.privileges.amend(UnsafeBufferPointer(start: parts, count: Int(count)))
            let result = writev(descriptor, parts, count)
            if isFirst == true { Server.of(data)?.mountWorks() }
            return result
        }
        let result = fuse_session_custom_io(raw, &hooks, fuse_session_fd(raw))
        guard result == 0 else {
            unmount()
            destroy()
            throw FUSEError.system(call: "fuse_session_custom_io", errno: Errno(rawValue: abs(result)), path: nil)
        }
    }

    private static func session(_ arguments: [String], _ server: Server) -> OpaquePointer? {
        var vector: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        let copies = vector
        defer { for copy in copies { free(copy) } }
        var table = OperationTable.make()
        let data = Unmanaged.passUnretained(server).toOpaque()
        return vector.withUnsafeMutableBufferPointer { vector in
            var list = fuse_args(argc: Int32(arguments.count), argv: vector.baseAddress, allocated: 0)
            defer { fuse_opt_free_args(&list) }
            return fuse_session_new(&list, &table, MemoryLayout<fuse_lowlevel_ops>.size, data)
        }
    }

    /// Cuts the connection, and unmounts if nobody has. Idempotent; the serving threads have returned.
    ///
    /// libfuse's own unmounting goes by path, and so could hit another mount once ours is gone: it is kept from it by
    /// a descriptor that polls as broken, and ours goes only while the mount there is the one we made.
    func unmount() {
        guard isMounted.exchange(false, ordering: .acquiringAndReleasing) else { return }
        var ends: [Int32] = [-1, -1]
        if pipe(&ends) == 0 {
            close(ends[0])
            dup2(ends[1], fuse_session_fd(raw))
            close(ends[1])
        }
        do throws(FUSEError) {
            if let device, try MountTable.top(at: mountpoint)?.device == device {
                try Unmounting.unmount(path: mountpoint, lazily: true)
            }
        } catch { logger.warning("unmounting \(mountpoint): \(error)") }
        fuse_session_unmount(raw)
    }

    /// Nothing may use the session any more.
    func destroy() { fuse_session_destroy(raw) }
}

/// An eventfd: set once, seen by `poll(2)`.
final class Event: Sendable {
    let descriptor: Int32

    init() throws(FUSEError) {
        descriptor = casemate_eventfd()
        guard descriptor >= 0 else { throw FUSEError.system(call: "eventfd", errno: .last, path: nil) }
    }

    deinit { close(descriptor) }

    func signal() {
        var one: UInt64 = 1
        // Full only when set already.
        _ = write(descriptor, &one, MemoryLayout<UInt64>.size)
    }

    func clear() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, MemoryLayout<UInt64>.size)
    }

    /// Waits until one of the events is set or the time is over.
    /// - Returns: which of them is set; both `false` for the timeout.
    static func wait(_ first: Event, _ second: Event, milliseconds: Int32) -> (Bool, Bool) {
        var polled = [
            pollfd(fd: first.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: second.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&polled, 2, milliseconds) < 0 && errno == EINTR {}
        return (polled[0].revents != 0, polled[1].revents != 0)
    }
}
