import CLinux
import Glibc
import SecureBlock
import Synchronization

/// A thread that has a commit made at an interval, and soon when asked.
final class CommitClock: Sendable {
    private let event: Int32
    private let thread: HostThread
    private let isStopped: Signal

    private final class Signal: Sendable {
        let value = Atomic(false)
    }

    /// - Parameter intervalMilliseconds: 0 for only when asked.
    /// - Returns: `nil` when the system gives no thread or descriptor.
    init?(intervalMilliseconds: Int, _ commit: @escaping @Sendable () -> Void) {
        let event = casemate_eventfd()
        guard event >= 0 else { return nil }
        let isStopped = Signal()
        let wait = intervalMilliseconds > 0 ? Int32(clamping: intervalMilliseconds) : -1
        let thread = HostThread {
            while true {
                var polled = pollfd(fd: event, events: Int16(POLLIN), revents: 0)
                let count = poll(&polled, 1, wait)
                if isStopped.value.load(ordering: .acquiring) { return }
                if count < 0, errno == EINTR { continue }
                var asked: UInt64 = 0
                if count > 0 { _ = read(event, &asked, MemoryLayout<UInt64>.size) }
                commit()
            }
        }
        guard let thread else {
            close(event)
            return nil
        }
        self.event = event
        self.thread = thread
        self.isStopped = isStopped
    }

    deinit { close(event) }

    /// Asks for a commit soon. Any thread; returns at once.
    func request() {
        var one: UInt64 = 1
        _ = write(event, &one, MemoryLayout<UInt64>.size)
    }

    /// Returns once the thread has made its last commit. Idempotent, from one thread at a time.
    func stop() {
        guard !isStopped.value.exchange(true, ordering: .acquiringAndReleasing) else { return }
        request()
        thread.join()
    }
}
