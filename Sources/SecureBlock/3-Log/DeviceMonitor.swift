import Glibc

/// The device's one lock and what its threads wait on.
///
/// The lock and its state are apart (unlike in ``Monitor``), as the device lets go of it in the middle of its operations.
final class DeviceMonitor: @unchecked Sendable {
    // SAFETY: all live as long as this object and are only ever touched by pthread calls.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private let work: UnsafeMutablePointer<pthread_cond_t>

    init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        work = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        condition.initialize(to: pthread_cond_t())
        work.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(work, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(work)
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        work.deallocate()
        condition.deallocate()
        mutex.deallocate()
    }

    @inline(__always) func lock() { pthread_mutex_lock(mutex) }
    @inline(__always) func unlock() { pthread_mutex_unlock(mutex) }
    /// Releases the lock, sleeps until a ``broadcast()``, and holds the lock again. May wake for no reason.
    func wait() { pthread_cond_wait(condition, mutex) }
    func broadcast() { pthread_cond_broadcast(condition) }
    /// As ``wait()``, for the maintenance thread: it sleeps through broadcasts, which come with every commit.
    func waitForWork() { pthread_cond_wait(work, mutex) }
    /// As ``waitForWork()``, for so long at most.
    func waitForWork(milliseconds: UInt64) {
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        let bounded = min(milliseconds, 1 << 32)
        until.tv_sec += Int(bounded / 1000)
        until.tv_nsec += Int(bounded % 1000) * 1_000_000
        if until.tv_nsec >= 1_000_000_000 {
            until.tv_sec += 1
            until.tv_nsec -= 1_000_000_000
        }
        pthread_cond_timedwait(work, mutex, &until)
    }
    func signalWork() { pthread_cond_signal(work) }

    @inline(__always)
    func locked<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        lock()
        defer { unlock() }
        return try body()
    }

    /// Runs `body` with the lock released; it is held before and after.
    @inline(__always)
    func unlocked<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        unlock()
        defer { lock() }
        return try body()
    }
}
