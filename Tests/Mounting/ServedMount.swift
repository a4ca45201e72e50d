import CLinux
import FUSEFront
import Glibc
import Logging
import Synchronization
import VFS

/// A filesystem mounted and served by this process on threads of their own, for one test.
public final class ServedMount: Sendable {
    public let session: FUSESession
    private let serving: ServiceThread
    private let outcome = Outcome()

    private final class Outcome: Sendable {
        let failure = Mutex<FUSEError?>(nil)
    }

    /// Whether this machine lets this user mount.
    public static let isPossible: Bool = {
        let descriptor = casemate_open("/dev/fuse", O_RDWR | O_CLOEXEC, 0)
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return geteuid() == 0 || access("/usr/bin/fusermount3", X_OK) == 0 || access("/bin/fusermount3", X_OK) == 0
    }()

    /// - Parameter path: an empty directory.
    /// - Throws: ``FUSEError``; nothing is mounted then.
    public init(
        _ filesystem: any FileSystem, at path: String, _ options: FUSEOptions = FUSEOptions(),
        control: (any ControlHandler)? = nil, trace: OperationTrace? = nil
    ) throws(FUSEError) {
        var options = options
        options.handlesSignals = false
        let session = try FUSESession(
            serving: filesystem, at: path, options, control: control, trace: trace,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        self.session = session
        let outcome = outcome
        serving = try ServiceThread(named: "test-mount") {
            do throws(FUSEError) { try session.run() } catch {
                let failure = error
                outcome.failure.withLock { $0 = failure }
            }
            session.announceClosed()
        }
    }

    /// Unmounts, and waits until nothing is served any more. Call it once.
    /// - Throws: why serving broke down.
    public func end() throws(FUSEError) {
        session.stop()
        serving.join()
        if let failure = outcome.failure.withLock({ $0 }) { throw failure }
    }
}
