import CTSS

extension TPMConnection {
    /// A storage key of the null hierarchy: nobody's password is needed for it, it lives until the TPM's next reset, and
    /// session secrets can be agreed with it.
    func makeSaltKey() throws(TPMError) -> ESYS_TR {
        try makePrimary(in: casemate_tss_null)
    }

    /// A primary storage key. The same TPM, hierarchy and template always give the same key.
    func makePrimary(in hierarchy: ESYS_TR) throws(TPMError) -> ESYS_TR {
        var sensitive = TPM2B_SENSITIVE_CREATE()
        var template = casemate_tss_storage_key()
        var outside = TPM2B_DATA()
        var registers = TPML_PCR_SELECTION()
        var key = casemate_tss_none
        let code = attempt {
            Esys_CreatePrimary(
                $0, hierarchy, casemate_tss_password, casemate_tss_none, casemate_tss_none, &sensitive, &template,
                &outside, &registers, &key, nil, nil, nil, nil)
        }
        if let code {
            // The hierarchy's own password is the only secret that goes with the command.
            throw code == .wrongSecret ? .ownerPasswordSet : failure(code, "TPM2_CreatePrimary")
        }
        keep(key)
        return key
    }

    /// A session whose key only this process and the TPM know: who listens on the bus, or sits between, neither reads
    /// encrypted parameters nor makes up answers.
    /// - Parameters:
    ///   - use: `casemate_tss_hmac` or `casemate_tss_policy`.
    ///   - saltKey: what the key is agreed with.
    func startSession(_ use: Int, saltKey: ESYS_TR) throws(TPMError) -> ESYS_TR {
        var cipher = casemate_tss_session_cipher()
        var session = casemate_tss_none
        try run("TPM2_StartAuthSession") {
            Esys_StartAuthSession(
                $0, saltKey, casemate_tss_none, casemate_tss_none, casemate_tss_none, casemate_tss_none, nil,
                TPM2_SE(use), &cipher, TPMI_ALG_HASH(TPM2_ALG_SHA256), &session)
        }
        keep(session)
        return session
    }

    /// What the session does in the next command.
    func setAttributes(_ attributes: [Int], of session: ESYS_TR) throws(TPMError) {
        let flags = attributes.reduce(casemate_tss_keep, |)
        try run("Esys_TRSess_SetAttributes") {
            Esys_TRSess_SetAttributes($0, session, TPMA_SESSION(flags), 0xFF)
        }
    }
}
