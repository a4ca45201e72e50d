import COpenSSL

/// A key of the suite without confidentiality. The tag is the first half of HMAC-SHA-256 over
///
///     nonce (12 bytes) | length of the associated data (u64) | associated data | data
///
/// The length keeps apart what belongs to the one and to the other.
final class AuthenticatorKey: Sendable {
    private let contexts: CipherContextPool

    init(key: SecretBytes) throws(SealError) {
        contexts = try CipherContextPool(key: key, .authenticating)
    }

    /// As ``SealingKey/seal(_:into:nonce:associatedData:)``; the bytes stay as they are.
    func seal(
        _ plain: UnsafeRawBufferPointer, into stored: UnsafeMutableRawPointer, nonce: Nonce,
        associatedData: UnsafeRawBufferPointer
    ) throws(SealError) -> Tag {
        let output = UnsafeMutableRawBufferPointer(start: stored, count: plain.count)
        // Copied first: the tag is then of the bytes that are stored, whatever becomes of the caller's.
        if plain.baseAddress != UnsafeRawPointer(stored) { output.copyMemory(from: plain) }
        return try tag(of: UnsafeRawBufferPointer(output), nonce, associatedData)
    }

    /// As ``SealingKey/open(_:into:nonce:associatedData:tag:)``.
    func open(
        _ stored: UnsafeRawBufferPointer, into plain: UnsafeMutableRawPointer, nonce: Nonce,
        associatedData: UnsafeRawBufferPointer, tag: Tag
    ) throws(SealError) -> Bool {
        var isAuthentic = false
        defer { if !isAuthentic { OPENSSL_cleanse(plain, stored.count) } }
        try ProcessIdentity.check()
        let output = UnsafeMutableRawBufferPointer(start: plain, count: stored.count)
        if stored.baseAddress != UnsafeRawPointer(plain) { output.copyMemory(from: stored) }
        let found = try self.tag(of: UnsafeRawBufferPointer(output), nonce, associatedData)
        isAuthentic = (found.low ^ tag.low) | (found.high ^ tag.high) == 0
        return isAuthentic
    }

    private func tag(
        of bytes: UnsafeRawBufferPointer, _ nonce: Nonce, _ associatedData: UnsafeRawBufferPointer
    ) throws(SealError) -> Tag {
        let context = try contexts.take()
        defer { contexts.give(context) }
        // SAFETY: every length goes with its pointer; the result has room for the 32 bytes that HMAC-SHA-256 gives.
        guard EVP_MAC_init(context, nil, 0, nil) == 1 else { throw .crypto("EVP_MAC_init") }
        let hasNonce = nonce.withBytes { EVP_MAC_update(context, $0, Nonce.byteCount) }
        var count = UInt64(associatedData.count).littleEndian
        let hasCount = withUnsafeBytes(of: &count) { EVP_MAC_update(context, $0.bound, $0.count) }
        guard hasNonce == 1, hasCount == 1 else { throw .crypto("EVP_MAC_update") }
        guard EVP_MAC_update(context, associatedData.bound, associatedData.count) == 1,
            EVP_MAC_update(context, bytes.bound, bytes.count) == 1
        else { throw .crypto("EVP_MAC_update") }
        var result: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var written = 0
        let isDone = withUnsafeMutableBytes(of: &result) { result in
            EVP_MAC_final(
                context, result.baseAddress?.assumingMemoryBound(to: UInt8.self), &written, result.count)
        }
        guard isDone == 1, written == Digest.byteCount else { throw .crypto("EVP_MAC_final") }
        return Tag(low: UInt64(littleEndian: result.0), high: UInt64(littleEndian: result.1))
    }
}
