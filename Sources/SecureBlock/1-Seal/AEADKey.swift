import COpenSSL

/// A key of an authenticated cipher. The key schedule is computed once per context, contexts are reused, and one call
/// sets only the nonce.
final class AEADKey: Sendable {
    private let sealing: CipherContextPool
    private let opening: CipherContextPool

    init(key: SecretBytes, _ cipher: CipherContextPool.Cipher) throws(SealError) {
        sealing = try CipherContextPool(key: key, .sealing(cipher))
        opening = try CipherContextPool(key: key, .opening(cipher))
    }

    /// As ``SealingKey/seal(_:into:nonce:associatedData:)``.
    func seal(
        _ plain: UnsafeRawBufferPointer, into cipher: UnsafeMutableRawPointer, nonce: Nonce,
        associatedData: UnsafeRawBufferPointer
    ) throws(SealError) -> Tag {
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

    /// As ``SealingKey/open(_:into:nonce:associatedData:tag:)``.
    func open(
        _ cipher: UnsafeRawBufferPointer, into plain: UnsafeMutableRawPointer, nonce: Nonce,
        associatedData: UnsafeRawBufferPointer, tag: Tag
    ) throws(SealError) -> Bool {
        var isAuthentic = false
        defer { if !isAuthentic, !Sabotage.isOn(.keepFailedPlaintext) { OPENSSL_cleanse(plain, cipher.count) } }
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
        isAuthentic =
            EVP_DecryptFinal_ex(context, output + cipher.count, &written) == 1 || Sabotage.isOn(.skipTagCheck)
        return isAuthentic
    }

    @inline(__always)
    private static func length(_ buffer: UnsafeRawBufferPointer) throws(SealError) -> Int32 {
        guard let count = Int32(exactly: buffer.count) else { throw .unsuitable("more than 2 GiB in one sealing") }
        return count
    }
}

extension UnsafeRawBufferPointer {
    /// For C functions that take bytes.
    var bound: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}
