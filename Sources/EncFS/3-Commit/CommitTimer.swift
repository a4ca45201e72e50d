#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A thread that calls at an interval, and at once when asked.
final class CommitTimer: @unchecked Sendable {
    // SAFETY: the mutable state is used only while `monitor` is held.
    private let monitor = Monitor()
    private var isRequested = false
    private var isStopped = false
    private var hasEnded = true
    private let intervalMilliseconds: Int
    private let action: @Sendable () -> Void

    /// - Parameter intervalMilliseconds: 0 for only when asked.
    init(intervalMilliseconds: Int, _ action: @escaping @Sendable () -> Void) {
        self.intervalMilliseconds = intervalMilliseconds
        self.action = action
    }

    func start() throws(EncFSError) {
        hasEnded = false
        var thread = pthread_t()
        let box = Unmanaged.passRetained(self)
        let result = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                // SAFETY: `start` retained the timer for this thread.
                Unmanaged<CommitTimer>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, box.toOpaque())
        guard result == 0 else {
            box.release()
            hasEnded = true
            throw .system("no thread for commits: error \(result)")
        }
        pthread_detach(thread)
    }

    /// Asks for a call soon.
    func request() {
        monitor.lock()
        isRequested = true
        monitor.wakeAll()
        monitor.unlock()
    }

    /// Returns once the thread has made its last call.
    func stop() {
        monitor.lock()
        isStopped = true
        monitor.wakeAll()
        while !hasEnded { monitor.wait() }
        monitor.unlock()
    }

    private func run() {
        monitor.lock()
        while !isStopped {
            if !isRequested {
                if intervalMilliseconds > 0 {
                    monitor.wait(milliseconds: intervalMilliseconds)
                } else {
                    monitor.wait()
                }
            }
            if isStopped { break }
            isRequested = false
            monitor.unlock()
            action()
            monitor.lock()
        }
        hasEnded = true
        monitor.wakeAll()
        monitor.unlock()
    }
}
