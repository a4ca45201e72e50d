import Glibc

/// What one serving thread owns: a buffer for replies and what it knows of the request in its hands.
///
/// libfuse calls back on the thread that read the request, so that a handler finds its worker by thread.
final class Worker {
    /// Whether the kernel asked to drop set-user-ID and set-group-ID with the request in hand.
    var killsPrivileges = false
    /// `CLOCK_MONOTONIC` when the request was read, in nanoseconds; kept only for a trace.
    var began: UInt64 = 0
    private var buffer: UnsafeMutableRawBufferPointer

    init() { buffer = .allocate(byteCount: FUSEOptions.requestBytes, alignment: 4096) }
    deinit { buffer.deallocate() }

    /// Room for a reply's data, overwritten by the next call.
    func room(_ byteCount: Int) -> UnsafeMutableRawBufferPointer {
        if byteCount > buffer.count {
            buffer.deallocate()
            buffer = .allocate(byteCount: byteCount, alignment: 4096)
        }
        return UnsafeMutableRawBufferPointer(rebasing: buffer[..<byteCount])
    }

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let result = pthread_key_create(&key, nil)
        precondition(result == 0, "no thread-specific key is left")
        return key
    }()

    /// The calling thread's worker.
    static var current: Worker {
        guard let pointer = pthread_getspecific(key) else { preconditionFailure("not a serving thread") }
        // SAFETY: set by `serve` for as long as the worker is alive on this thread.
        return Unmanaged<Worker>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Makes this the calling thread's worker while `body` runs.
    func serve(_ body: () -> Void) {
        pthread_setspecific(Self.key, Unmanaged.passUnretained(self).toOpaque())
        withExtendedLifetime(self, body)
        pthread_setspecific(Self.key, nil)
    }
}
