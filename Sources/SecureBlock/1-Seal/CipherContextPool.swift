import COpenSSL
import Synchronization

/// Cipher contexts that already hold one key for one direction. Making one costs as much as sealing a few blocks.
final class CipherContextPool: @unchecked Sendable {
    enum Direction { case sealing, opening }

    /// Idle contexts beyond this are freed: as many as threads ever seal at once.
    private static let slotCount = 32

    // SAFETY: `slotCount` initialised atomics at fixed addresses, owned by this object. Each holds the address of an
    // idle context or 0; whoever swaps an address out owns that context.
    private let slots: UnsafeMutablePointer<Atomic<UInt>>
    private let key: SecretBytes
    private let direction: Direction

    init(key: SecretBytes, direction: Direction) throws(SealError) {
        self.key = key
        self.direction = direction
        slots = .allocate(capacity: Self.slotCount)
        for index in 0..<Self.slotCount { (slots + index).initialize(to: Atomic(0)) }
        // One context now: a missing cipher shows at open, not at the first block.
        give(try make())
    }

    deinit {
        for index in 0..<Self.slotCount {
            let address = slots[index].exchange(0, ordering: .acquiring)
            if let context = OpaquePointer(bitPattern: address) { Self.free(context) }
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
        Self.free(context)
    }

    private func make() throws(SealError) -> OpaquePointer {
        guard let cipher = OpaquePointer(bitPattern: Self.cipher) else {
            throw .crypto("EVP_CIPHER_fetch AES-256-GCM")
        }
        guard let context = EVP_CIPHER_CTX_new() else { throw .crypto("EVP_CIPHER_CTX_new") }
        CipherContextRegistry.shared.insert(context)
        let isKeyed = key.withUnsafeBytes { bytes -> Bool in
            // SAFETY: the key has 32 bytes, checked by `SealingKey.init`.
            let bytes = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            switch direction {
            case .sealing: return EVP_EncryptInit_ex2(context, cipher, bytes, nil, nil) == 1
            case .opening: return EVP_DecryptInit_ex2(context, cipher, bytes, nil, nil) == 1
            }
        }
        guard isKeyed else {
            Self.free(context)
            throw .crypto("EVP_CipherInit")
        }
        return context
    }

    private static func free(_ context: OpaquePointer) {
        CipherContextRegistry.shared.remove(context)
        EVP_CIPHER_CTX_free(context)
    }

    /// Fetched once for the life of the process; a fetch takes longer than sealing a block.
    private static let cipher = UInt(bitPattern: EVP_CIPHER_fetch(nil, "AES-256-GCM", nil))
}
