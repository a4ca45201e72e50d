import COpenSSL

#if canImport(Glibc)
    import Glibc
#endif

/// Every cipher context that holds a key, so that a forked child can wipe them before anything of it runs.
///
/// Their memory is the crypto library's, which `MADV_WIPEONFORK` does not reach.
final class CipherContextRegistry: @unchecked Sendable {
    static let shared = CipherContextRegistry()

    // SAFETY: `contexts` is touched only with the mutex held; a fork holds it too, so the child finds it whole.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    /// Addresses; their order decides nothing.
    private var contexts: Set<UInt> = []

    private init() {
        pthread_mutex_init(mutex, nil)
        pthread_atfork(
            { CipherContextRegistry.shared.lock() },
            { CipherContextRegistry.shared.unlock() },
            {
                CipherContextRegistry.shared.wipe()
                CipherContextRegistry.shared.unlock()
            })
    }

    func insert(_ context: OpaquePointer) {
        lock()
        contexts.insert(UInt(bitPattern: context))
        unlock()
    }

    func remove(_ context: OpaquePointer) {
        lock()
        contexts.remove(UInt(bitPattern: context))
        unlock()
    }

    /// Empties every context, wiping its key schedule; each can still be freed. In a child the threads that used them
    /// do not exist.
    private func wipe() {
        for address in contexts {
            if let context = OpaquePointer(bitPattern: address) { EVP_CIPHER_CTX_reset(context) }
        }
    }

    /// Whether any context is set up with a key.
    var holdsKey: Bool {
        lock()
        defer { unlock() }
        return contexts.contains { address in
            OpaquePointer(bitPattern: address).map { EVP_CIPHER_CTX_get0_cipher($0) != nil } ?? false
        }
    }

    private func lock() { pthread_mutex_lock(mutex) }

    private func unlock() { pthread_mutex_unlock(mutex) }
}
