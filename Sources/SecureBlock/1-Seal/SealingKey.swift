import COpenSSL

/// AES-256-GCM under one key: seals and opens blocks from any number of threads.
///
/// The key schedule is computed once per context, contexts are reused, and one call sets only the nonce: copying into
/// the record and encrypting are a single pass over the data. Ciphertext is as long as plaintext; the tag is separate.
package final class SealingKey: Sendable {
    private let sealing: CipherContextPool
    private let opening: CipherContextPool

    /// - Parameter key: 32 bytes.
    package init(key: SecretBytes) throws(SealError) {
        precondition(key.byteCount == 32, "AES-256 takes 32 bytes")
        sealing = try CipherContextPool(key: key, direction: .sealing)
        opening = try CipherContextPool(key: key, direction: .opening)
    }

    /// Encrypts `plain` to `cipher`, which has room for as many bytes and either is the same memory or does not overlap.
    ///
    /// The caller answers for the nonce: never twice under one key.
    /// - Throws: ``SealError/crypto(_:)``, ``SealError/forked``; what `cipher` holds is then not to be stored.
    package func seal(
        _ plain: UnsafeRawBufferPointer, into cipher: UnsafeMutableRawPointer, nonce: Nonce,
        associatedData: UnsafeRawBufferPointer
    ) throws(SealError) -> Tag {
        try ProcessIdentity.check()
        let context = try sealing.take()
        defer { sealing.give(context) }
        // SAFETY: `plain.count` bytes are readable and writable by contract; lengths are checked to fit C's int.
        let plainCount = try Self.length(plain), dataCount = try Self.length(associatedData)
        var written: Int32 = 0
        let started = nonce.withBytes { EVP_EncryptInit_ex2(context, nil, nil, $0, nil) }
        guard started == 1 else { throw .crypto("EVP_EncryptInit_ex2") }
        if dataCount > 0 {
            guard EVP_EncryptUpdate(context, nil, &written, associatedData.bound, dataCount) == 1 else {
                throw .crypto("EVP_EncryptUpdate")
            }
        }
        let output = cipher.assumingMemoryBound(to: UInt8.self)
        if plainCount > 0 {
            guard EVP_EncryptUpdate(context, output, &written, plain.bound, plainCount) == 1, written == plainCount
            else { throw .crypto("EVP_EncryptUpdate") }
        }
        guard EVP_EncryptFinal_ex(context, output + plain.count, &written) == 1 else {
            throw .crypto("EVP_EncryptFinal_ex")
        }
        var tag: (UInt64, UInt64) = (0, 0)
        guard EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(Tag.byteCount), &tag) == 1 else {
            throw .crypto("EVP_CTRL_AEAD_GET_TAG")
        }
        return Tag(low: UInt64(littleEndian: tag.0), high: UInt64(littleEndian: tag.1))
    }

    /// Decrypts `cipher` to `plain`, which has room for as many bytes and either is the same memory or does not overlap.
    /// - Returns: whether the tag matched. Unless it did, `plain` is wiped, also when this throws.
    package func open(
        _ cipher: UnsafeRawBufferPointer, into plain: UnsafeMutableRawPointer, nonce: Nonce,
        associatedData: UnsafeRawBufferPointer, tag: Tag
    ) throws(SealError) -> Bool {
        var isAuthentic = false
        defer { if !isAuthentic { OPENSSL_cleanse(plain, cipher.count) } }
        try ProcessIdentity.check()
        let context = try opening.take()
        defer { opening.give(context) }
        // SAFETY: as in `seal`.
        let cipherCount = try Self.length(cipher), dataCount = try Self.length(associatedData)
        var written: Int32 = 0
        let started = nonce.withBytes { EVP_DecryptInit_ex2(context, nil, nil, $0, nil) }
        guard started == 1 else { throw .crypto("EVP_DecryptInit_ex2") }
        if dataCount > 0 {
            guard EVP_DecryptUpdate(context, nil, &written, associatedData.bound, dataCount) == 1 else {
                throw .crypto("EVP_DecryptUpdate")
            }
        }
        let output = plain.assumingMemoryBound(to: UInt8.self)
        if cipherCount > 0 {
            guard EVP_DecryptUpdate(context, output, &written, cipher.bound, cipherCount) == 1,
                written == cipherCount
            else { throw .crypto("EVP_DecryptUpdate") }
        }
        var expected = (tag.low.littleEndian, tag.high.littleEndian)
        guard EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Tag.byteCount), &expected) == 1 else {
            throw .crypto("EVP_CTRL_AEAD_SET_TAG")
        }
        isAuthentic = EVP_DecryptFinal_ex(context, output + cipher.count, &written) == 1
        return isAuthentic
    }

    @inline(__always)
    private static func length(_ buffer: UnsafeRawBufferPointer) throws(SealError) -> Int32 {
        guard let count = Int32(exactly: buffer.count) else { throw .unsuitable("more than 2 GiB in one sealing") }
        return count
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var bound: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}
