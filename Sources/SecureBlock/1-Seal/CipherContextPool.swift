import COpenSSL
import Synchronization

/// Cipher contexts that already hold one key for one direction. Making one costs as much as sealing a few blocks.
final class CipherContextPool: Sendable {
    enum Direction { case sealing, opening }

    /// Idle contexts beyond this are freed: as many as threads ever seal at once.
    private static let idleLimit = 32

    /// Addresses of idle contexts; kept as numbers because pointers do not cross a `Mutex`.
    private struct Idle: ~Copyable, Sendable {
        // SAFETY: owned by this value, `idleLimit` words, the first `count` of them initialised.
        private nonisolated(unsafe) let slots = UnsafeMutablePointer<UInt>.allocate(capacity: idleLimit)
        private var count = 0

        deinit {
            for index in 0..<count { EVP_CIPHER_CTX_free(OpaquePointer(bitPattern: slots[index])) }
            slots.deallocate()
        }

        mutating func pop() -> UInt? {
            guard count > 0 else { return nil }
            count -= 1
            return slots[count]
        }

        mutating func push(_ address: UInt) -> Bool {
            guard count < idleLimit else { return false }
            slots[count] = address
            count += 1
            return true
        }
    }

    private let key: SecretBytes
    private let direction: Direction
    private let idle = Mutex(Idle())

    init(key: SecretBytes, direction: Direction) throws(SealError) {
        self.key = key
        self.direction = direction
        // One context now: a missing cipher shows at open, not at the first block.
        give(try make())
    }

    /// A context for the caller alone until it is given back.
    @inline(__always)
    func take() throws(SealError) -> OpaquePointer {
        if let address = idle.withLock({ $0.pop() }), let context = OpaquePointer(bitPattern: address) {
            return context
        }
        return try make()
    }

    @inline(__always)
    func give(_ context: OpaquePointer) {
        let address = UInt(bitPattern: context)
        if !idle.withLock({ $0.push(address) }) { EVP_CIPHER_CTX_free(context) }
    }

    private func make() throws(SealError) -> OpaquePointer {
        guard let cipher = OpaquePointer(bitPattern: Self.cipher) else {
            throw .crypto("EVP_CIPHER_fetch AES-256-GCM")
        }
        guard let context = EVP_CIPHER_CTX_new() else { throw .crypto("EVP_CIPHER_CTX_new") }
        let isKeyed = key.withUnsafeBytes { bytes -> Bool in
            // SAFETY: the key has 32 bytes, checked by `SealingKey.init`.
            let bytes = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            switch direction {
            case .sealing: return EVP_EncryptInit_ex2(context, cipher, bytes, nil, nil) == 1
            case .opening: return EVP_DecryptInit_ex2(context, cipher, bytes, nil, nil) == 1
            }
        }
        guard isKeyed else {
            EVP_CIPHER_CTX_free(context)
            throw .crypto("EVP_CipherInit")
        }
        return context
    }

    /// Fetched once for the life of the process; a fetch takes longer than sealing a block.
    private static let cipher = UInt(bitPattern: EVP_CIPHER_fetch(nil, "AES-256-GCM", nil))
}
