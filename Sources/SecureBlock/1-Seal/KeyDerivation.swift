import COpenSSL

/// Keys from keys (HKDF) and keys from passphrases (scrypt).
package enum KeyDerivation {
    /// HKDF with SHA-256 (RFC 5869), extract and expand.
    /// - Parameters:
    ///   - salt: may be empty.
    ///   - info: what the key is for; every use has its own.
    ///   - byteCount: 1 to 8160.
    package static func hkdf(
        key: SecretBytes, salt: UnsafeRawBufferPointer, info: [UInt8], byteCount: Int = 32
    ) throws(SealError) -> SecretBytes {
        guard (1...255 * Digest.byteCount).contains(byteCount) else { throw .unsuitable("HKDF output length") }
        return try SecretBytes(byteCount: byteCount) { output throws(SealError) in
            // SAFETY: every length goes with its pointer; the call writes `output.count` bytes.
            let done = key.withUnsafeBytes { key in
                casemate_hkdf_sha256(
                    key.baseAddress, key.count, salt.baseAddress, salt.count, info, info.count,
                    output.baseAddress, output.count)
            }
            guard done == 1 else { throw .crypto("EVP_KDF_derive HKDF") }
        }
    }

    package static func hkdf(
        key: SecretBytes, salt: [UInt8] = [], info: [UInt8], byteCount: Int = 32
    ) throws(SealError) -> SecretBytes {
        try salt.withRawBytes { salt throws(SealError) in
            try hkdf(key: key, salt: salt, info: info, byteCount: byteCount)
        }
    }

    /// scrypt (RFC 7914).
    /// - Throws: ``SealError/unsuitable(_:)`` for a cost outside ``ScryptCost``'s limits, before any memory is taken.
    package static func scrypt(
        passphrase: SecretBytes, salt: UnsafeRawBufferPointer, cost: ScryptCost, byteCount: Int = 32
    ) throws(SealError) -> SecretBytes {
        guard cost.isSuitable else { throw .unsuitable("scrypt cost \(cost)") }
        return try SecretBytes(byteCount: byteCount) { output throws(SealError) in
            // SAFETY: every length goes with its pointer; the call writes `output.count` bytes and takes no more than
            // the bound it is given beyond them.
            let done = passphrase.withUnsafeBytes { passphrase in
                EVP_PBE_scrypt(
                    passphrase.baseAddress?.assumingMemoryBound(to: CChar.self), passphrase.count,
                    salt.baseAddress?.assumingMemoryBound(to: UInt8.self), salt.count,
                    cost.n, UInt64(cost.r), UInt64(cost.p), cost.memoryBytes + 1 << 20,
                    output.baseAddress?.assumingMemoryBound(to: UInt8.self), output.count)
            }
            guard done == 1 else { throw .crypto("EVP_PBE_scrypt") }
        }
    }
}
