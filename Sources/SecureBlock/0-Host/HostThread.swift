import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// A thread of the host layer: takes no signals, and is joined by whoever started it.
package final class HostThread: Sendable {
    private let thread: UInt

    /// Starts a thread that runs `body`; `nil` when the system gives none.
    package init?(_ body: @escaping @Sendable () -> Void) {
        var thread: UInt = 0
        let box = Unmanaged.passRetained(Body(body))
        // SAFETY: the new thread takes over the reference; unless there is none, then it is released here.
        let failure = casemate_start_thread(&thread, hostThreadMain, box.toOpaque())
        guard failure == 0 else {
            box.release()
            return nil
        }
        self.thread = thread
    }

    /// Waits for the thread's end. Once.
    package func join() {
        pthread_join(thread, nil)
    }

    fileprivate final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

private func hostThreadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    Unmanaged<HostThread.Body>.fromOpaque(context).takeRetainedValue().run()
    return nil
}
