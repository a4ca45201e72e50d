/// One key of a cipher suite: seals and opens blocks from any number of threads.
///
/// What is stored is as long as what was sealed; the tag is separate. Copying into the record and sealing are one pass.
package final class SealingKey: Sendable {
    private enum Engine {
        case aead(AEADKey)
        case authenticator(AuthenticatorKey)
    }
    private let engine: Engine

    /// - Parameter key: 32 bytes, used with this suite alone.
    package init(key: SecretBytes, suite: CipherSuite = .aes256GCM) throws(SealError) {
        precondition(key.byteCount == 32, "every suite takes 32 bytes")
        switch suite {
        case .aes256GCM: engine = .aead(try AEADKey(key: key, .aes256GCM))
        case .chaCha20Poly1305: engine = .aead(try AEADKey(key: key, .chaCha20Poly1305))
        case .integrityOnly: engine = .authenticator(try AuthenticatorKey(key: key))
        }
    }

    /// Seals `plain` to `cipher`, which has room for as many bytes and either is the same memory or does not overlap.
    ///
    /// The caller answers for the nonce: never twice under one key.
    /// - Throws: ``SealError/crypto(_:)``, ``SealError/forked``; what `cipher` holds is then not to be stored.
    @inline(__always)
    package func seal(
        _ plain: UnsafeRawBufferPointer, into cipher: UnsafeMutableRawPointer, nonce: Nonce,
        associatedData: UnsafeRawBufferPointer
    ) throws(SealError) -> Tag {
        try ProcessIdentity.check()
        switch engine {
        case .aead(let key): return try key.seal(plain, into: cipher, nonce: nonce, associatedData: associatedData)
        case .authenticator(let key):
            return try key.seal(plain, into: cipher, nonce: nonce, associatedData: associatedData)
        }
    }

    /// Opens `cipher` to `plain`, which has room for as many bytes and either is the same memory or does not overlap.
    /// - Returns: whether the tag matched. Unless it did, `plain` is wiped, also when this throws (I15).
    @inline(__always)
    package func open(
        _ cipher: UnsafeRawBufferPointer, into plain: UnsafeMutableRawPointer, nonce: Nonce,
        associatedData: UnsafeRawBufferPointer, tag: Tag
    ) throws(SealError) -> Bool {
        switch engine {
        case .aead(let key):
            return try key.open(cipher, into: plain, nonce: nonce, associatedData: associatedData, tag: tag)
        case .authenticator(let key):
            return try key.open(cipher, into: plain, nonce: nonce, associatedData: associatedData, tag: tag)
        }
    }
}
