import COpenSSL

#if canImport(Glibc)
    import Glibc
#endif

/// Every context of the crypto library that holds a key, so that a forked child can wipe them before anything of it runs.
///
/// Their memory is the crypto library's, which `MADV_WIPEONFORK` does not reach.
final class CipherContextRegistry: @unchecked Sendable {
    static let shared = CipherContextRegistry()

    enum Kind {
        /// `EVP_CIPHER_CTX`.
        case cipher
        /// `EVP_MAC_CTX`.
        case authenticator
    }

    // SAFETY: the sets below are touched only with the mutex held; a fork holds it too, so the child finds it whole.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    // Addresses; their order decides nothing.
    private var ciphers: Set<UInt> = []
    private var authenticators: Set<UInt> = []

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

    func insert(_ context: OpaquePointer, _ kind: Kind) {
        lock()
        switch kind {
        case .cipher: ciphers.insert(UInt(bitPattern: context))
        case .authenticator: authenticators.insert(UInt(bitPattern: context))
        }
        unlock()
    }

    func remove(_ context: OpaquePointer) {
        lock()
        ciphers.remove(UInt(bitPattern: context))
        authenticators.remove(UInt(bitPattern: context))
        unlock()
    }

    /// Empties every context, wiping its key schedule; each can still be freed. In a child the threads that used them
    /// do not exist.
    private func wipe() {
        for address in ciphers {
            if let context = OpaquePointer(bitPattern: address) { EVP_CIPHER_CTX_reset(context) }
        }
        // A MAC context cannot be emptied; another key takes the place of its own.
        let zeros = [UInt8](repeating: 0, count: 32)
        for address in authenticators {
            if let context = OpaquePointer(bitPattern: address) { EVP_MAC_init(context, zeros, zeros.count, nil) }
        }
        authenticators = []
    }

    /// Whether any context is set up with a key.
    var holdsKey: Bool {
        lock()
        defer { unlock() }
        return !authenticators.isEmpty
            || ciphers.contains { address in
                OpaquePointer(bitPattern: address).map { EVP_CIPHER_CTX_get0_cipher($0) != nil } ?? false
            }
    }

    private func lock() { pthread_mutex_lock(mutex) }

    private func unlock() { pthread_mutex_unlock(mutex) }
}
