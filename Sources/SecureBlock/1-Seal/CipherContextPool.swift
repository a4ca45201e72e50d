import COpenSSL
import Synchronization

/// Contexts of the crypto library that already hold one key for one use. Making one costs as much as sealing a few blocks.
final class CipherContextPool: @unchecked Sendable {
    enum Cipher: Sendable { case aes256GCM, chaCha20Poly1305 }

    enum Use: Sendable {
        /// `EVP_CIPHER_CTX`, one for each direction.
        case sealing(Cipher), opening(Cipher)
        /// `EVP_MAC_CTX` of HMAC-SHA-256.
        case authenticating
    }

    /// Idle contexts beyond this are freed: as many as threads ever seal at once.
    private static let slotCount = 32

    // SAFETY: `slotCount` initialised atomics at fixed addresses, owned by this object. Each holds the address of an
    // idle context or 0; whoever swaps an address out owns that context.
    private let slots: UnsafeMutablePointer<Atomic<UInt>>
    private let key: SecretBytes
    private let use: Use

    init(key: SecretBytes, _ use: Use) throws(SealError) {
        self.key = key
        self.use = use
        slots = .allocate(capacity: Self.slotCount)
        for index in 0..<Self.slotCount { (slots + index).initialize(to: Atomic(0)) }
        // One context now: a missing cipher shows at open, not at the first block.
        give(try make())
    }

    deinit {
        for index in 0..<Self.slotCount {
            let address = slots[index].exchange(0, ordering: .acquiring)
            if let context = OpaquePointer(bitPattern: address) { free(context) }
        }
        slots.deinitialize(count: Self.slotCount)
        slots.deallocate()
    }

    /// A context for the caller alone until it is given back.
    @inline(__always)
    func take() throws(SealError) -> OpaquePointer {
        for index in 0..<Self.slotCount where slots[index].load(ordering: .relaxed) != 0 {
            let address = slots[index].exchange(0, ordering: .acquiring)
            if let context = OpaquePointer(bitPattern: address) { return context }
        }
        return try make()
    }

    @inline(__always)
    func give(_ context: OpaquePointer) {
        let address = UInt(bitPattern: context)
        for index in 0..<Self.slotCount where slots[index].load(ordering: .relaxed) == 0 {
            if slots[index].compareExchange(expected: 0, desired: address, ordering: .releasing).exchanged {
                return
            }
        }
        free(context)
    }

    private func make() throws(SealError) -> OpaquePointer {
        switch use {
        case .sealing(let cipher): try makeCipher(cipher, isSealing: true)
        case .opening(let cipher): try makeCipher(cipher, isSealing: false)
        case .authenticating: try makeAuthenticator()
        }
    }

    private func makeCipher(_ cipher: Cipher, isSealing: Bool) throws(SealError) -> OpaquePointer {
        guard let fetched = OpaquePointer(bitPattern: Self.fetched(cipher)) else {
            throw .crypto("EVP_CIPHER_fetch \(cipher)")
        }
        guard let context = EVP_CIPHER_CTX_new() else { throw .crypto("EVP_CIPHER_CTX_new") }
        CipherContextRegistry.shared.insert(context, .cipher)
        let isKeyed = key.withUnsafeBytes { bytes -> Bool in
            // SAFETY: the key has 32 bytes, checked by `SealingKey.init`.
            isSealing
                ? EVP_EncryptInit_ex2(context, fetched, bytes.bound, nil, nil) == 1
                : EVP_DecryptInit_ex2(context, fetched, bytes.bound, nil, nil) == 1
        }
        guard isKeyed else {
            free(context)
            throw .crypto("EVP_CipherInit")
        }
        return context
    }

    private func makeAuthenticator() throws(SealError) -> OpaquePointer {
        guard let context = key.withUnsafeBytes({ casemate_hmac_sha256_new($0.baseAddress, $0.count) }) else {
            throw .crypto("EVP_MAC_init HMAC-SHA-256")
        }
        CipherContextRegistry.shared.insert(context, .authenticator)
        return context
    }

    private func free(_ context: OpaquePointer) {
        CipherContextRegistry.shared.remove(context)
        switch use {
        case .sealing, .opening: EVP_CIPHER_CTX_free(context)
        case .authenticating: EVP_MAC_CTX_free(context)
        }
    }

    private static func fetched(_ cipher: Cipher) -> UInt {
        switch cipher {
        case .aes256GCM: aes256GCM
        case .chaCha20Poly1305: chaCha20Poly1305
        }
    }

    // Fetched once for the life of the process; a fetch takes longer than sealing a block.
    private static let aes256GCM = UInt(bitPattern: EVP_CIPHER_fetch(nil, "AES-256-GCM", nil))
    private static let chaCha20Poly1305 = UInt(bitPattern: EVP_CIPHER_fetch(nil, "ChaCha20-Poly1305", nil))
}
