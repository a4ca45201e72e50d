/// A secret sealed under another key, for storage: `nonce (12) | ciphertext | tag (16)`.
///
/// The nonce is drawn at random, so one key may wrap some thousand secrets in its life, not millions.
package enum WrappedKey {
    /// What wrapping adds to a secret's length.
    package static let overheadBytes = Nonce.byteCount + Tag.byteCount

    /// Seals `secret` under `key` (32 bytes).
    /// - Parameter associatedData: what must be the same at ``unwrap(_:under:associatedData:)``.
    package static func wrap(
        _ secret: SecretBytes, under key: SecretBytes, associatedData: UnsafeRawBufferPointer
    ) throws(SealError) -> [UInt8] {
        var stored = [UInt8](repeating: 0, count: secret.byteCount + overheadBytes)
        let sealing = try SealingKey(key: key)
        try stored.withMutableRawBytes { stored throws(SealError) in
            var writer = ByteWriter(stored)
            let nonceBytes = writer.reserve(Nonce.byteCount), cipher = writer.reserve(secret.byteCount)
            try Random.fill(nonceBytes)
            guard let target = cipher.baseAddress else { throw .unsuitable("an empty secret") }
            let nonce = Nonce(randomBytes: UnsafeRawBufferPointer(nonceBytes))
            let tag = try secret.withUnsafeBytes { secret throws(SealError) in
                try sealing.seal(secret, into: target, nonce: nonce, associatedData: associatedData)
            }
            writer.tag(tag)
        }
        return stored
    }

    /// The secret, or `nil` when key, associated data or stored bytes are not those of ``wrap(_:under:associatedData:)``.
    package static func unwrap(
        _ stored: UnsafeRawBufferPointer, under key: SecretBytes, associatedData: UnsafeRawBufferPointer
    ) throws(SealError) -> SecretBytes? {
        guard stored.count > overheadBytes else { return nil }
        // SAFETY: the three parts lie within `stored`, which is longer than nonce and tag together.
        let nonce = Nonce(randomBytes: UnsafeRawBufferPointer(rebasing: stored[..<Nonce.byteCount]))
        let cipher = UnsafeRawBufferPointer(rebasing: stored[Nonce.byteCount..<stored.count - Tag.byteCount])
        let tag = Tag(loading: UnsafeRawBufferPointer(rebasing: stored[(stored.count - Tag.byteCount)...]))
        let sealing = try SealingKey(key: key)
        var isAuthentic = false
        let secret = try SecretBytes(byteCount: cipher.count) { plain throws(SealError) in
            guard let target = plain.baseAddress else { return }
            isAuthentic = try sealing.open(
                cipher, into: target, nonce: nonce, associatedData: associatedData, tag: tag)
        }
        return isAuthentic ? secret : nil
    }
}
