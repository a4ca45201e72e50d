import CLinux
import Glibc
import VFS

/// Synchronising and unmounting somebody's mount from outside: what `sync DIR` and `unmount DIR` do.
public enum Unmounting {
    public enum Outcome: Sendable, Hashable {
        /// The filesystem was closed: all of it is durable.
        case closed
        /// The mount's process had died before; only the dead mount was taken away.
        case wasDead
    }

    /// Makes everything done below `mountpoint` durable: `fsync(2)` of the mount's root directory, which stands for
    /// the whole filesystem.
    /// - Throws: ``FUSEError/notMounted(_:)``, ``FUSEError/mountpointDead(_:)``,
    ///   ``FUSEError/notDurable(_:_:)``.
    public static func synchronise(_ mountpoint: String) throws(FUSEError) {
        let path = try MountpointCheck.directory(mountpoint)
        guard try MountTable.top(at: path) != nil else { throw FUSEError.notMounted(mountpoint) }
        let root = try openRoot(path)
        defer { close(root) }
        guard fsync(root) == 0 else { throw FUSEError.notDurable(mountpoint, .last) }
    }

    /// Unmounts, and waits until the process that served the mount has closed its filesystem.
    /// - Throws: ``FUSEError/notMounted(_:)``, ``FUSEError/notOurs(_:)``, ``FUSEError/busy(_:)``,
    ///   ``FUSEError/notPermitted(_:)``: still mounted. ``FUSEError/closingFailed(_:)``,
    ///   ``FUSEError/serverDied(_:)``: unmounted, but the last changes may be lost.
    ///   ``FUSEError/mountedElsewhere(_:process:place:)``: unmounted here, and not closed.
    public static func unmount(_ mountpoint: String) throws(FUSEError) -> Outcome {
        let path: String
        do throws(FUSEError) { path = try MountpointCheck.directory(mountpoint) } catch {
            guard case .mountpointDead = error else { throw error }
            try unmount(path: try lexicallyAbsolute(mountpoint), lazily: true)
            return .wasDead
        }
        guard let mount = try MountTable.top(at: path) else { throw FUSEError.notMounted(mountpoint) }
        guard mount.type.hasPrefix("fuse") else { throw FUSEError.notOurs(mountpoint) }
        let notice: Int32
        do throws(FUSEError) { notice = try connect(path) } catch {
            guard case .mountpointDead = error else { throw error }
            try unmount(path: path, lazily: true)
            return .wasDead
        }
        defer { close(notice) }
        try unmount(path: path, lazily: false)
        try awaitClosing(notice, mountpoint, device: mount.device)
        return .closed
    }

    /// The mount's root directory, for calls on the mount itself; the caller closes it.
    package static func openRoot(_ path: String) throws(FUSEError) -> Int32 {
        let descriptor = casemate_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard descriptor >= 0 else {
            switch errno {
            case EACCES: throw .notPermitted(path)
            case let error where MountpointCheck.isDead(error): throw .mountpointDead(path)
            default: throw .system(call: "open", errno: .last, path: path)
            }
        }
        return descriptor
    }

    /// A connection to the mount's closing notice.
    private static func connect(_ path: String) throws(FUSEError) -> Int32 {
        let root = try openRoot(path)
        defer { close(root) }
        var address = [UInt8](repeating: 0, count: ClosingNotice.addressBytes)
        let result = address.withUnsafeMutableBytes {
            casemate_ioctl(root, UInt(ClosingNotice.command), $0.baseAddress)
        }
        guard result == 0 else {
            throw errno == EPERM || errno == EACCES ? FUSEError.notPermitted(path) : FUSEError.notOurs(path)
        }
        let descriptor = try LocalSocket.make(blocking: true)
        do throws(FUSEError) {
            try LocalSocket.withAddress(address) { Glibc.connect(descriptor, $0, $1) }
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// How long closing takes is the volume's matter; that it cannot begin is looked for now and then.
    private static func awaitClosing(
        _ notice: Int32, _ mountpoint: String, device: String
    ) throws(FUSEError) {
        var message: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4097)
        while true {
            var polled = pollfd(fd: notice, events: Int16(POLLIN), revents: 0)
            if poll(&polled, 1, 1000) == 0 {
                if let holder = MountTable.holder(of: device) {
                    throw .mountedElsewhere(mountpoint, process: holder.process, place: holder.place)
                }
                continue
            }
            let count = recv(notice, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            message += chunk[..<count]
        }
        switch message.first {
        case 0: return
        case nil: throw FUSEError.serverDied(mountpoint)
        default: throw FUSEError.closingFailed(String(decoding: message.dropFirst(), as: UTF8.self))
        }
    }

    /// Unmounts our own mount when serving is to end: first what the kernel holds back is written, then it goes, at
    /// once if nobody uses it and otherwise when nobody does any more.
    static func detach(_ path: String) throws(FUSEError) {
        let root = try openRoot(path)
        casemate_syncfs(root)
        close(root)
        do throws(FUSEError) { try unmount(path: path, lazily: false) } catch {
            guard case .busy = error else { throw error }
            try unmount(path: path, lazily: true)
        }
    }

    static func unmount(path: String, lazily: Bool) throws(FUSEError) {
        guard geteuid() == 0 else { return try Fusermount.unmount(path, lazily: lazily) }
        let noFollow: Int32 = 8
        let detach: Int32 = 2
        guard umount2(path, lazily ? noFollow | detach : noFollow) == 0 else {
            switch errno {
            case EBUSY: throw FUSEError.busy(path)
            case EINVAL: throw FUSEError.notMounted(path)
            case EPERM: throw FUSEError.notPermitted(path)
            default: throw FUSEError.system(call: "umount2", errno: .last, path: path)
            }
        }
    }

    /// A dead mount cannot be resolved itself, but its parent can.
    private static func lexicallyAbsolute(_ path: String) throws(FUSEError) -> String {
        var trimmed = path
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
        guard let slash = trimmed.lastIndex(of: "/") else {
            return try MountpointCheck.absolute(".") + "/" + trimmed
        }
        let parent = try MountpointCheck.absolute(slash == trimmed.startIndex ? "/" : String(trimmed[..<slash]))
        return (parent == "/" ? "" : parent) + "/" + trimmed[trimmed.index(after: slash)...]
    }
}
