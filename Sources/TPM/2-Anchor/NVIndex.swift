import CTSS
import SecureBlock

/// A small memory in a TPM that answers to a secret of its own: in one conversation.
///
/// Everything goes through a session whose key the TPM and this process have agreed and that is proved, in both
/// directions, with the index's secret. So an answer is the TPM's in which the secret was set, and to this question.
final class NVIndex {
    let number: UInt32
    private let connection: TPMConnection
    private let handle: ESYS_TR
    private let saltKey: ESYS_TR
    private let session: ESYS_TR
    /// Whether something was ever written. As anybody tells; what hangs on it is checked with ``checkUnwritten()``.
    let isWritten: Bool

    private init(
        _ connection: TPMConnection, _ number: UInt32, _ handle: ESYS_TR, saltKey: ESYS_TR, isWritten: Bool
    ) throws(TPMError) {
        self.connection = connection
        self.number = number
        self.handle = handle
        self.saltKey = saltKey
        self.isWritten = isWritten
        session = try connection.startSession(casemate_tss_hmac, saltKey: saltKey)
    }

    deinit { connection.wipeSecret(of: handle) }

    static func name(_ number: UInt32) -> String { "NV index 0x" + String(number, radix: 16) }

    enum Found {
        case nothing
        /// Defined, but not as ``define(_:_:secret:)`` does it.
        case foreign(String)
        case index(NVIndex)
    }

    /// Looks for an index and at what it is. That it really is such a one shows when its secret is used: what it is goes
    /// into what the session proves.
    static func find(_ number: UInt32, _ connection: TPMConnection) throws(TPMError) -> Found {
        var handle = casemate_tss_none
        let code = connection.attempt {
            Esys_TR_FromTPMPublic(
                $0, number, casemate_tss_none, casemate_tss_none, casemate_tss_none, &handle)
        }
        if let code {
            if code == .noSuchHandle { return .nothing }
            throw connection.failure(code, "TPM2_NV_ReadPublic")
        }
        let area = try connection.readPublic(handle, session: nil)
        let wanted = casemate_tss_nv_attributes
        guard Int(area.attributes) & ~casemate_tss_nv_written == wanted else {
            return .foreign("its attributes are 0x\(String(area.attributes, radix: 16))")
        }
        guard Int(area.dataSize) == DiskTPMAnchor.byteCount else {
            return .foreign("it has \(area.dataSize) bytes")
        }
        return .index(
            try NVIndex(
                connection, number, handle, saltKey: try connection.makeSaltKey(),
                isWritten: Int(area.attributes) & casemate_tss_nv_written != 0))
    }

    /// Makes the index, unwritten.
    /// - Returns: `nil` when there is one already.
    static func define(_ number: UInt32, _ connection: TPMConnection, secret: SecretBytes) throws(TPMError)
        -> NVIndex?
    {
        let saltKey = try connection.makeSaltKey()
        let session = try connection.startSession(casemate_tss_hmac, saltKey: saltKey)
        try connection.setAttributes([casemate_tss_decrypt], of: session)
        let policy = try changePolicy()
        var area = casemate_tss_nv_index(
            number, UInt32(casemate_tss_nv_attributes), policy, UInt16(policy.count),
            UInt16(DiskTPMAnchor.byteCount))
        var handle = casemate_tss_none
        let code = try secret.withTPMAuth { auth throws(TPMError) in
            connection.attempt {
                Esys_NV_DefineSpace(
                    $0, casemate_tss_owner, session, casemate_tss_none, casemate_tss_none, auth, &area, &handle)
            }
        }
        switch code {
        case nil: break
        case .indexDefined?: return nil
        case .wrongSecret?: throw .ownerPasswordSet
        case let code?: throw connection.failure(code, "TPM2_NV_DefineSpace")
        }
        let index = try NVIndex(connection, number, handle, saltKey: saltKey, isWritten: false)
        try index.use(secret)
        return index
    }

    /// The secret for what follows.
    func use(_ secret: SecretBytes) throws(TPMError) { try connection.setSecret(secret, of: handle) }

    /// What is stored; `nil` when nothing was ever written.
    ///
    /// The read begins an exclusive audit session: a ``write(_:)`` after it succeeds only if the TPM did nothing for
    /// anybody in between.
    /// - Throws: ``TPMError/wrongSecret``.
    func read() throws(TPMError) -> [UInt8]? {
        try connection.setAttributes(
            [casemate_tss_encrypt, casemate_tss_audit, casemate_tss_audit_reset], of: session)
        var data: UnsafeMutablePointer<TPM2B_MAX_NV_BUFFER>?
        let code = connection.attempt {
            Esys_NV_Read(
                $0, handle, handle, session, casemate_tss_none, casemate_tss_none, UInt16(DiskTPMAnchor.byteCount),
                0,
                &data)
        }
        defer { Esys_Free(data) }
        if let code {
            guard code == .indexUnwritten else { throw connection.failure(code, "TPM2_NV_Read") }
            if !Sabotage.isOn(.anchorBelievesUnwritten) { try checkUnwritten() }
            return nil
        }
        guard let data, Int(data.pointee.size) == DiskTPMAnchor.byteCount else {
            throw .forged("TPM2_NV_Read")
        }
        // SAFETY: the buffer is longer than what is taken from it; its size was just checked.
        return withUnsafeBytes(of: &data.pointee.buffer) { [UInt8]($0.prefix(DiskTPMAnchor.byteCount)) }
    }

    /// Has the TPM itself say that nothing was written: an error code proves nothing. Exclusive like ``read()``.
    private func checkUnwritten() throws(TPMError) {
        try connection.setAttributes([casemate_tss_audit, casemate_tss_audit_reset], of: session)
        let area = try connection.readPublic(handle, session: session)
        guard Int(area.attributes) == casemate_tss_nv_attributes else { throw .forged("TPM2_NV_Read") }
    }

    /// Stores `bytes`, if nothing happened in the TPM since ``read()``; durable on return.
    /// - Returns: whether it was so.
    func write(_ bytes: [UInt8]) throws(TPMError) -> Bool {
        try connection.setAttributes(
            [casemate_tss_decrypt, casemate_tss_audit]
                + (Sabotage.isOn(.anchorNotExclusive) ? [] : [casemate_tss_audit_exclusive]), of: session)
        var data = TPM2B_MAX_NV_BUFFER()
        guard bytes.count <= MemoryLayout.size(ofValue: data.buffer) else {
            preconditionFailure("a record fits into one command")
        }
        data.size = UInt16(bytes.count)
        // SAFETY: the buffer is at least as long.
        withUnsafeMutableBytes(of: &data.buffer) { $0.copyBytes(from: bytes) }
        let code = connection.attempt {
            Esys_NV_Write($0, handle, handle, session, casemate_tss_none, casemate_tss_none, &data, 0)
        }
        switch code {
        case nil: return true
        case .notExclusive?: return false
        case let code?: throw connection.failure(code, "TPM2_NV_Write")
        }
    }

    /// Gives the index another secret, with the present one; durable on return.
    func change(to secret: SecretBytes) throws(TPMError) {
        let policy = try connection.startSession(casemate_tss_policy, saltKey: saltKey)
        defer { connection.flush(policy) }
        try connection.setAttributes([casemate_tss_decrypt], of: policy)
        try connection.run("TPM2_PolicyAuthValue") {
            Esys_PolicyAuthValue($0, policy, casemate_tss_none, casemate_tss_none, casemate_tss_none)
        }
        try connection.run("TPM2_PolicyCommandCode") {
            Esys_PolicyCommandCode(
                $0, policy, casemate_tss_none, casemate_tss_none, casemate_tss_none,
                TPM2_CC(casemate_tss_nv_change_auth))
        }
        try secret.withTPMAuth { auth throws(TPMError) in
            try connection.run("TPM2_NV_ChangeAuth") {
                Esys_NV_ChangeAuth($0, handle, policy, casemate_tss_none, casemate_tss_none, auth)
            }
        }
    }

    /// The policy under which the secret may be changed: by who knows it (TPM 2.0 Library, part 3, TPM2_PolicyAuthValue
    /// and TPM2_PolicyCommandCode). The TPM takes nothing else for that command.
    static func changePolicy() throws(TPMError) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Digest.byteCount)
        let steps = [
            [casemate_tss_policy_auth_value], [casemate_tss_policy_command_code, casemate_tss_nv_change_auth],
        ]
        for step in steps {
            let words = step.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) } }
            do throws(SealError) { digest = try Digest.sha256(digest + words) } catch {
                throw .system("SHA-256: \(error)")
            }
        }
        return digest
    }
}

extension TPMConnection {
    fileprivate func readPublic(_ index: ESYS_TR, session: ESYS_TR?) throws(TPMError) -> TPMS_NV_PUBLIC {
        var area: UnsafeMutablePointer<TPM2B_NV_PUBLIC>?
        defer { Esys_Free(area) }
        try run("TPM2_NV_ReadPublic") {
            Esys_NV_ReadPublic(
                $0, index, session ?? casemate_tss_none, casemate_tss_none, casemate_tss_none, &area, nil)
        }
        guard let area else { throw .forged("TPM2_NV_ReadPublic") }
        return area.pointee.nvPublic
    }
}
