#if canImport(Glibc)
    import Glibc
#endif

/// State behind a lock on which threads can wait for a change.
///
/// `Mutex` of the standard library is cheaper, but nobody can wait on it and the thread sanitizer does not see it.
package final class Monitor<State>: @unchecked Sendable {
    // SAFETY: both live as long as this object, at fixed addresses; `state` is touched only with the mutex held.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var state: State

    package init(_ state: State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    package func withLock<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&state)
    }

    /// Waits until `isReady`, then changes the state before anybody else can, and wakes everybody who waits.
    package func changeWhen<Result, Failure: Error>(
        _ isReady: (borrowing State) -> Bool, _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(changed)
            pthread_mutex_unlock(mutex)
        }
        while !isReady(state) { pthread_cond_wait(changed, mutex) }
        return try body(&state)
    }

    /// Changes the state and wakes everybody who waits.
    package func change<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(changed)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }
}
