import CLinux
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// An open, locked file or block device and its system calls. `EINTR` and short transfers end here.
final class HostFile: Sendable {
    let descriptor: Int32
    let isDevice: Bool
    let isDirect: Bool
    let isReadOnly: Bool
    /// The same file without `O_DIRECT`, for reads; `nil` where that is not wanted, or `descriptor` goes that way too.
    private let cachedDescriptor: Int32?
    /// The size of a block device; `nil` for a file, whose size may change.
    let deviceBytes: UInt64?
    private let isClosed = Atomic<Bool>(false)
    /// Held while the size is compared and changed.
    let growth = Monitor<Void>(())

    /// Opens what is at `path`, or makes an empty file there.
    /// - Throws: ``HostError/unopenable(path:errno:)``, ``HostError/unsuitable(path:)``, ``HostError/inUse``.
    init(path: String, creating: Bool, _ options: FileHostOptions) throws(HostError) {
        let (descriptor, isNew) = try Self.descriptor(path, creating: creating, options)
        self.descriptor = descriptor
        isReadOnly = options.readOnly
        do throws(HostError) {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw .unopenable(path: path, errno: errno) }
            switch status.st_mode & S_IFMT {
            case S_IFREG:
                isDevice = false
                deviceBytes = nil
            case S_IFBLK:
                isDevice = true
                var byteCount: UInt64 = 0
                let failure = casemate_block_device_bytes(descriptor, &byteCount)
                guard failure == 0 else { throw .unopenable(path: path, errno: failure) }
                deviceBytes = byteCount
            default:
                throw .unsuitable(path: path)
            }
            // `open` was not to wait for a FIFO's other end; rings take the flag for an order never to wait.
            let failure = casemate_set_blocking(descriptor)
            guard failure == 0 else { throw .unopenable(path: path, errno: failure) }
            try Self.lock(descriptor, exclusive: !options.readOnly, path: path)
            if isNew {
                try Self.makeNameDurable(path) { call, parent -> HostError in
                    call == "open"
                        ? .unopenable(path: parent, errno: errno) : .failed(call: call, errno: errno, offset: nil)
                }
            }
            // Last: once all properties are set, `deinit` closes the file too.
            isDirect = options.direct && Self.acceptsDirect(descriptor)
            cachedDescriptor = isDirect && options.cachesReads ? Self.second(of: descriptor) : nil
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    deinit {
        close()
    }

    /// Gives the descriptor and the lock back. Nothing may be under way.
    func close() {
        guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        if let cachedDescriptor { Glibc.close(cachedDescriptor) }
        // Not left to closing: a request of a ring that has just ended, or a process forked meanwhile, may hold the open
        // file a little longer.
        flock(descriptor, LOCK_UN)
        Glibc.close(descriptor)
    }

    /// Whether there is a way through the page cache beside the one past it.
    var cachesReads: Bool { cachedDescriptor != nil }

    /// What to read from.
    /// - Parameter cached: through the page cache, where there is a way.
    func readDescriptor(cached: Bool) -> Int32 { cached ? cachedDescriptor ?? descriptor : descriptor }

    /// Has the kernel bring a range into the page cache, in its own time.
    func bringIntoCache(_ offset: UInt64, _ byteCount: UInt64) {
        guard let cachedDescriptor, let start = off_t(exactly: offset), let count = off_t(exactly: byteCount) else {
            return
        }
        // A hint: where it is refused, reads bring what they want.
        _ = posix_fadvise(cachedDescriptor, start, count, POSIX_FADV_WILLNEED)
    }

    /// Opens the same file a second time, for reading; `nil` where that cannot be, as without `/proc`.
    private static func second(of descriptor: Int32) -> Int32? {
        let second = casemate_reopen(descriptor, O_RDONLY)
        return second >= 0 ? second : nil
    }

    private static func descriptor(
        _ path: String, creating: Bool, _ options: FileHostOptions
    ) throws(HostError) -> (Int32, isNew: Bool) {
        let flags = (options.readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
        if creating {
            let descriptor = casemate_open(path, flags | O_CREAT | O_EXCL, 0o600)
            if descriptor >= 0 { return (descriptor, true) }
            guard errno == EEXIST else { throw .unopenable(path: path, errno: errno) }
        }
        let descriptor = casemate_open(path, flags, 0)
        guard descriptor >= 0 else { throw .unopenable(path: path, errno: errno) }
        return (descriptor, false)
    }

    /// The lock belongs to the open file, so a second opening in this process is refused like one in another.
    private static func lock(_ descriptor: Int32, exclusive: Bool, path: String) throws(HostError) {
        while flock(descriptor, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0 {
            switch errno {
            case EINTR: continue
            case EWOULDBLOCK: throw .inUse
            default: throw .unopenable(path: path, errno: errno)
            }
        }
    }

    /// Whether direct transfers work, by trying one: some file systems take the flag and refuse the transfer.
    private static func acceptsDirect(_ descriptor: Int32) -> Bool {
        guard casemate_set_direct(descriptor, true) == 0 else { return false }
        let probe = AlignedBuffer(byteCount: blockBytes)
        var count: Int
        repeat {
            count = pread(descriptor, probe.bytes.baseAddress, blockBytes, 0)
        } while count < 0 && errno == EINTR
        if count < 0 && errno == EINVAL {
            _ = casemate_set_direct(descriptor, false)
            return false
        }
        return true
    }

    /// Makes the name of a new file durable: it survives a crash only once its directory is written.
    /// - Parameter failure: the error for a call that failed on the directory, with `errno` as the call left it.
    static func makeNameDurable<Failure: Error>(
        _ path: String, _ failure: (_ call: String, _ directory: String) -> Failure
    ) throws(Failure) {
        let parent = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let directory = casemate_open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard directory >= 0 else { throw failure("open", parent) }
        defer { Glibc.close(directory) }
        // Some network file systems know no fsync of a directory; there is nothing better to do there.
        while fsync(directory) != 0 && errno != EINVAL {
            if errno != EINTR { throw failure("fsync", parent) }
        }
    }
}
