import Glibc

/// A first-in first-out queue that threads wait at. Ends when closed and drained.
final class Mailbox<Element: Sendable>: @unchecked Sendable {
    // SAFETY: everything below is touched only under `mutex`, which lives as long as the object.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let arrived = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var incoming: [Element] = []
    private var isClosed = false

    init() {
        mutex.initialize(to: pthread_mutex_t())
        arrived.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(arrived, nil)
    }

    deinit {
        pthread_cond_destroy(arrived)
        pthread_mutex_destroy(mutex)
        arrived.deallocate()
        mutex.deallocate()
    }

    /// Returns `false`, and takes nothing, once closed.
    func post(_ element: Element) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        guard !isClosed else { return false }
        incoming.append(element)
        if incoming.count == 1 { pthread_cond_signal(arrived) }
        return true
    }

    /// Waits, then takes everything that arrived, oldest first. Nothing means closed and drained.
    /// One thread takes.
    func takeAll() -> [Element] {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while incoming.isEmpty && !isClosed { pthread_cond_wait(arrived, mutex) }
        let taken = incoming
        incoming.removeAll()
        return taken
    }

    func close() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        isClosed = true
        pthread_cond_broadcast(arrived)
    }
}
