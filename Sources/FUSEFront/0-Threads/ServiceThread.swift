import CLinux
import Glibc
import VFS

/// A joinable thread of its own, outside any executor: request loops block in the kernel.
package final class ServiceThread: Sendable {
    private let thread: pthread_t

    private final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// - Throws: ``FUSEError/system(call:errno:path:)`` when the process may start no more threads.
    package init(named name: String, _ body: @escaping @Sendable () -> Void) throws(FUSEError) {
        let start = Unmanaged.passRetained(
            Start {
                casemate_name_thread(name)
                body()
            })
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { argument in
                // SAFETY: the argument is the +1 reference passed below, taken exactly once.
                if let argument { Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, start.toOpaque())
        guard result == 0 else {
            start.release()
            throw FUSEError.system(call: "pthread_create", errno: Errno(rawValue: result), path: nil)
        }
        self.thread = thread
    }

    /// Waits for the thread's end. Call it once.
    package func join() { pthread_join(thread, nil) }

    /// Lets the thread end by itself, instead of ``join()``.
    package func detach() { pthread_detach(thread) }

    /// Makes a blocked system call of the thread return `EINTR`; `signal` must have a handler without `SA_RESTART`.
    func interrupt(with signal: Int32) { pthread_kill(thread, signal) }
}
