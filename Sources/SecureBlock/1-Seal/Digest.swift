import COpenSSL

/// SHA-256 and HMAC-SHA-256 of bytes in one or more pieces.
package enum Digest {
    package static let byteCount = 32

    /// SHA-256 (FIPS 180-4) of `bytes`.
    package static func sha256(_ bytes: UnsafeRawBufferPointer) throws(SealError) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: byteCount)
        // SAFETY: the digest writes 32 bytes.
        guard EVP_Q_digest(nil, "SHA256", nil, bytes.baseAddress, bytes.count, &result, nil) == 1 else {
            throw .crypto("EVP_Q_digest")
        }
        return result
    }

    package static func sha256(_ bytes: [UInt8]) throws(SealError) -> [UInt8] {
        try bytes.withRawBytes { buffer throws(SealError) in try sha256(buffer) }
    }

    /// HMAC-SHA-256 (RFC 2104) of the pieces one after the other. Borders between pieces do not show in the result.
    package static func hmacSHA256(
        key: SecretBytes, _ pieces: UnsafeRawBufferPointer...
    ) throws(SealError) -> [UInt8] {
        guard let context = key.withUnsafeBytes({ casemate_hmac_sha256_new($0.baseAddress, $0.count) }) else {
            throw .crypto("EVP_MAC_init HMAC-SHA-256")
        }
        defer { EVP_MAC_CTX_free(context) }
        for piece in pieces where piece.count > 0 {
            // SAFETY: the piece is lent for this call.
            guard EVP_MAC_update(context, piece.baseAddress?.assumingMemoryBound(to: UInt8.self), piece.count) == 1
            else { throw .crypto("EVP_MAC_update") }
        }
        var result = [UInt8](repeating: 0, count: byteCount)
        var written = 0
        guard EVP_MAC_final(context, &result, &written, byteCount) == 1, written == byteCount else {
            throw .crypto("EVP_MAC_final")
        }
        return result
    }

    /// Whether two digests are equal, in a time that does not depend on where they differ.
    package static func areEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard let first = left.baseAddress, let second = right.baseAddress else { return true }
        return CRYPTO_memcmp(first, second, left.count) == 0
    }
}
