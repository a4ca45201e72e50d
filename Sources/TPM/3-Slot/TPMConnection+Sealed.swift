import COpenSSL
import CTSS
import SecureBlock

/// Sealed objects.
extension TPMConnection {
    /// A key's name, without the number of its hash algorithm.
    func digest(of key: ESYS_TR) throws(TPMError) -> [UInt8] {
        var name: UnsafeMutablePointer<TPM2B_NAME>?
        defer { Esys_Free(name) }
        try run("Esys_TR_GetName") { Esys_TR_GetName($0, key, &name) }
        guard let name, Int(name.pointee.size) == 2 + DiskSealedKey.digestBytes else {
            throw .forged("a key's name")
        }
        // SAFETY: the buffer is longer than what is taken from it.
        return withUnsafeBytes(of: &name.pointee.name) {
            [UInt8]($0.dropFirst(2).prefix(DiskSealedKey.digestBytes))
        }
    }

    /// Seals `secret`; with `auth` as what goes with it.
    func seal(
        _ secret: SecretBytes, auth: SecretBytes?, policy: [UInt8]?, attributes: UInt32, parent: ESYS_TR
    ) throws(TPMError) -> (unique: [UInt8], privateBytes: [UInt8]) {
        let session = try startSession(casemate_tss_hmac, saltKey: parent)
        try setAttributes([casemate_tss_decrypt], of: session)
        var sensitive = TPM2B_SENSITIVE_CREATE()
        defer { OPENSSL_cleanse(&sensitive, MemoryLayout<TPM2B_SENSITIVE_CREATE>.size) }
        // SAFETY: the buffer holds 256 bytes, and a slot's secret has 32.
        precondition(secret.byteCount <= MemoryLayout.size(ofValue: sensitive.sensitive.data.buffer), "fits")
        sensitive.sensitive.data.size = UInt16(secret.byteCount)
        secret.withUnsafeBytes { secret in
            withUnsafeMutableBytes(of: &sensitive.sensitive.data.buffer) { $0.copyMemory(from: secret) }
        }
        if let auth {
            sensitive.sensitive.userAuth = try auth.withTPMAuth { $0.pointee }
        }
        var template = casemate_tss_sealed(attributes, policy, nil)
        var outside = TPM2B_DATA()
        var creation = TPML_PCR_SELECTION()
        var privateArea: UnsafeMutablePointer<TPM2B_PRIVATE>?
        var publicArea: UnsafeMutablePointer<TPM2B_PUBLIC>?
        defer {
            Esys_Free(privateArea)
            Esys_Free(publicArea)
        }
        try run("TPM2_Create") {
            Esys_Create(
                $0, parent, session, casemate_tss_none, casemate_tss_none, &sensitive, &template, &outside,
                &creation,
                &privateArea, &publicArea, nil, nil, nil)
        }
        var unique = [UInt8](repeating: 0, count: DiskSealedKey.digestBytes)
        guard let privateArea, let publicArea, casemate_tss_is_sealed(publicArea, &template, &unique) == 1 else {
            throw .forged("TPM2_Create")
        }
        let count = Int(privateArea.pointee.size)
        guard (1...DiskSealedKey.privateLimitBytes).contains(count) else {
            throw .failed("TPM2_Create: \(count) bytes")
        }
        // SAFETY: the buffer is longer than the limit.
        let bytes = withUnsafeBytes(of: &privateArea.pointee.buffer) { [UInt8]($0.prefix(count)) }
        return (unique, bytes)
    }

    /// Loads what a slot keeps.
    /// - Returns: `nil` when this TPM does not take it.
    func load(_ stored: DiskSealedKey, attributes: UInt32, parent: ESYS_TR) throws(TPMError) -> ESYS_TR? {
        var publicArea = casemate_tss_sealed(attributes, stored.registers == 0 ? nil : stored.policy, stored.unique)
        var privateArea = TPM2B_PRIVATE()
        privateArea.size = UInt16(stored.privateBytes.count)
        // SAFETY: at most ``DiskSealedKey/privateLimitBytes``, and the buffer is longer.
        withUnsafeMutableBytes(of: &privateArea.buffer) { $0.copyBytes(from: stored.privateBytes) }
        var object = casemate_tss_none
        let code = attempt {
            Esys_Load(
                $0, parent, casemate_tss_password, casemate_tss_none, casemate_tss_none, &privateArea, &publicArea,
                &object
            )
        }
        if let code {
            if code.isAboutParameters { return nil }
            throw failure(code, "TPM2_Load")
        }
        keep(object)
        return object
    }

    func unseal(_ object: ESYS_TR, _ stored: DiskSealedKey, auth: SecretBytes?, parent: ESYS_TR)
        throws(TPMError) -> SecretBytes
    {
        if let auth { try setSecret(auth, of: object) }
        defer { wipeSecret(of: object) }
        let session: ESYS_TR
        if stored.registers == 0 {
            session = try startSession(casemate_tss_hmac, saltKey: parent)
        } else {
            session = try startSession(casemate_tss_policy, saltKey: parent)
            try satisfy(stored.registers, hasPIN: auth != nil, session)
        }
        try setAttributes([casemate_tss_encrypt], of: session)
        var data: UnsafeMutablePointer<TPM2B_SENSITIVE_DATA>?
        defer {
            if let data { OPENSSL_cleanse(data, MemoryLayout<TPM2B_SENSITIVE_DATA>.size) }
            Esys_Free(data)
        }
        try run("TPM2_Unseal") {
            Esys_Unseal($0, object, session, casemate_tss_none, casemate_tss_none, &data)
        }
        guard let data, (1...64).contains(Int(data.pointee.size)) else { throw .forged("TPM2_Unseal") }
        let count = Int(data.pointee.size)
        do throws(SealError) {
            // SAFETY: the buffer is longer than the count just checked.
            return try SecretBytes(byteCount: count) { secret throws(SealError) in
                withUnsafeBytes(of: &data.pointee.buffer) {
                    secret.copyMemory(from: .init(rebasing: $0.prefix(count)))
                }
            }
        } catch { throw .system("no memory for a secret: \(error)") }
    }

    /// The policy that holds as long as the registers are as they are now.
    func registerPolicy(_ registers: UInt32, hasPIN: Bool, saltKey: ESYS_TR) throws(TPMError) -> [UInt8] {
        let trial = try startSession(casemate_tss_trial, saltKey: saltKey)
        defer { flush(trial) }
        try satisfy(registers, hasPIN: hasPIN, trial)
        var digest: UnsafeMutablePointer<TPM2B_DIGEST>?
        defer { Esys_Free(digest) }
        try run("TPM2_PolicyGetDigest") {
            Esys_PolicyGetDigest($0, trial, casemate_tss_none, casemate_tss_none, casemate_tss_none, &digest)
        }
        guard let digest, Int(digest.pointee.size) == DiskSealedKey.digestBytes else {
            throw .forged("TPM2_PolicyGetDigest")
        }
        // SAFETY: the buffer is longer.
        return withUnsafeBytes(of: &digest.pointee.buffer) { [UInt8]($0.prefix(DiskSealedKey.digestBytes)) }
    }

    private func satisfy(_ registers: UInt32, hasPIN: Bool, _ session: ESYS_TR) throws(TPMError) {
        var selection = casemate_tss_selection(registers)
        var digest = TPM2B_DIGEST()
        try run("TPM2_PolicyPCR") {
            Esys_PolicyPCR(
                $0, session, casemate_tss_none, casemate_tss_none, casemate_tss_none, &digest, &selection)
        }
        guard hasPIN else { return }
        try run("TPM2_PolicyAuthValue") {
            Esys_PolicyAuthValue($0, session, casemate_tss_none, casemate_tss_none, casemate_tss_none)
        }
    }
}
