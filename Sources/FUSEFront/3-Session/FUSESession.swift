import CFUSE
import CLinux
import Glibc
public import Logging
import Synchronization
public import VFS

/// A filesystem mounted at a directory and served to the kernel.
///
/// ```swift
/// let session = try FUSESession(serving: filesystem, at: "/mnt/data", options)
/// try session.run()                       // until unmounted, or SIGINT, SIGTERM, SIGHUP
/// let failure = close(filesystem)
/// session.announceClosed(failure: failure)  // lets `unmount` return
/// ```
///
/// The mount exists once the initialiser returned; requests wait until ``run()`` serves them, so nothing on the
/// threads that will call ``run()`` may touch the mountpoint before.
public final class FUSESession: Sendable {
    /// The mountpoint as an absolute path without symbolic links.
    public let mountpoint: String
    let server: Server
    let handle: SessionHandle
    let stopEvent: Event
    let endedEvent: Event
    /// Serving threads are to return at the next chance.
    let abandoned = Atomic<Bool>(false)
    private let phase = Mutex(Phase.mounted)
    let observer: CacheInvalidator

    enum Phase { case mounted, running, ended }

    /// Mounts. Checks the mountpoint as ``MountpointCheck`` does.
    /// - Parameters:
    ///   - filesystem: stays the caller's, to be closed after ``run()``. Told where to send changes.
    ///   - control: answers `ioctl(2)` on the mount's files; without one they get `ENOTTY`.
    ///   - trace: gets a line for every request.
    ///   - faults: gets what lies behind failed requests; by default a log of its own on `logger`.
    /// - Throws: ``FUSEError``; nothing is mounted then.
    public init(
        serving filesystem: any FileSystem, at mountpoint: String, _ options: FUSEOptions = FUSEOptions(),
        control: (any ControlHandler)? = nil, trace: OperationTrace? = nil,
        logger: Logger = Logger(label: "casemate.fuse"), faults: FaultLog? = nil
    ) throws(FUSEError) {
        _ = LibraryLog.install
        self.mountpoint = try MountpointCheck.check(mountpoint, hidesFiles: options.hidesFiles)
        var closing: ClosingNotice?
        do throws(FUSEError) { closing = try ClosingNotice() } catch {
            logger.warning("unmounting cannot be waited for: \(error)")
        }
        var options = options
        if filesystem.traits.readOnly { options.readOnly = true }
        stopEvent = try Event()
        endedEvent = try Event()
        server = try Server(
            filesystem, at: self.mountpoint, options, logger, faults ?? FaultLog(logger), trace, control, closing)
        do throws(FUSEError) {
            handle = try SessionHandle(server, at: self.mountpoint)
        } catch {
            server.finish()
            throw error
        }
        do throws(FUSEError) {
            observer = try CacheInvalidator(handle, server)
        } catch {
            handle.unmount()
            server.finish()
            throw error
        }
        filesystem.observe(observer)
    }

    deinit {
        // A session that never ran still has to go; one that ran has ended already.
        if phase.withLock({ $0 }) == .mounted { end() }
        handle.destroy()
    }

    /// Serves until the mount is gone: unmounted by somebody, by ``stop()``, or by a signal if the options say so.
    ///
    /// On return nothing is mounted, every reply that was promised has been sent, and what the kernel held of the
    /// filesystem has been given back. The filesystem is not closed and nothing is made durable: that is the caller's.
    /// - Throws: ``FUSEError`` when serving broke down; the mount is gone then, too.
    public func run() throws(FUSEError) {
        let first = phase.withLock { phase in
            defer { if phase == .mounted { phase = .running } }
            return phase == .mounted
        }
        precondition(first, "a session runs once")
        let failure = serve()
        end()
        phase.withLock { $0 = .ended }
        if let failure { throw failure }
    }

    /// Asks ``run()`` to unmount and return. Any thread; returns at once.
    public func stop() { stopEvent.signal() }

    /// Tells whoever waits for the unmount how closing the filesystem went.
    /// - Parameter failure: what did not become durable and why; `nil` when all is.
    public func announceClosed(failure: String? = nil) { server.closing?.tell(failure: failure) }

    /// Takes everything down. The serving threads have returned.
    private func end() {
        server.filesystem.observe(nil)
        observer.finish()
        server.finish()
        handle.unmount()
    }
}
