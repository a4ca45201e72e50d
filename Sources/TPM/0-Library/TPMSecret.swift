import COpenSSL
import CTSS
import SecureBlock

extension SecretBytes {
    /// Lends the secret as the library takes it, and wipes that copy.
    func withTPMAuth<Result>(_ body: (UnsafePointer<TPM2B_AUTH>) throws(TPMError) -> Result) throws(TPMError)
        -> Result
    {
        var auth = TPM2B_AUTH()
        defer { OPENSSL_cleanse(&auth, MemoryLayout<TPM2B_AUTH>.size) }
        guard byteCount <= MemoryLayout.size(ofValue: auth.buffer) else {
            throw .system("a TPM takes no secret of \(byteCount) bytes")
        }
        // SAFETY: the buffer is at least as long, as was just checked.
        let count = withUnsafeBytes { secret in
            withUnsafeMutableBytes(of: &auth.buffer) { $0.copyMemory(from: secret) }
            // A TPM drops zeros at the end of what it is given, and so must who computes with it (part 1, "AuthValue").
            return secret.lastIndex { $0 != 0 }.map { $0 + 1 } ?? 0
        }
        auth.size = UInt16(count)
        return try body(&auth)
    }
}

extension TPMConnection {
    /// Has the library use `secret` for `handle`.
    func setSecret(_ secret: SecretBytes, of handle: ESYS_TR) throws(TPMError) {
        try secret.withTPMAuth { auth throws(TPMError) in
            try run("Esys_TR_SetAuth") { Esys_TR_SetAuth($0, handle, auth) }
        }
    }

    /// Overwrites the library's copy, which it frees as it is.
    func wipeSecret(of handle: ESYS_TR) {
        var zeros = TPM2B_AUTH()
        zeros.size = UInt16(MemoryLayout.size(ofValue: zeros.buffer))
        Esys_TR_SetAuth(context, handle, &zeros)
    }
}
