import CTSS

/// What tpm2-tss returned: a code of its own or the TPM's, without the parts that say which parameter or session it is
/// about (TPM 2.0 Library, part 2, "TPM_RC").
enum TPMCode: Equatable {
    case notStarted, notExclusive
    case indexUnwritten, indexDefined, noSpace, writesTooOften
    case lockout, wrongSecret, policyUnmet
    /// No object or index has that handle.
    case noSuchHandle
    /// A stored object is not this TPM's, or not whole.
    case foreignObject
    /// An authenticated answer that does not verify.
    case forgedResponse
    case other(UInt32)

    /// - Returns: `nil` for success.
    init?(_ code: TSS2_RC) {
        guard code != 0 else { return nil }
        self = .known(code)
    }

    private static func known(_ code: UInt32) -> TPMCode {
        if Int(code) == casemate_tss_response_forged { return .forgedResponse }
        // Layer 0 is the TPM, layer 11 a resource manager that speaks for it.
        let layer = code >> 16 & 0xFF
        guard layer == 0 || layer == 11 else { return .other(code) }
        let answer = code & 0xFFFF
        // Bit 7 marks codes with a parameter, handle or session number in bits 6 and 8 to 11.
        switch Int(answer & 0x80 != 0 ? answer & 0xBF : answer) {
        case casemate_tss_initialize: return .notStarted
        case casemate_tss_exclusive: return .notExclusive
        case casemate_tss_nv_uninitialized: return .indexUnwritten
        case casemate_tss_nv_defined: return .indexDefined
        case casemate_tss_nv_space: return .noSpace
        case casemate_tss_nv_rate: return .writesTooOften
        case casemate_tss_lockout: return .lockout
        case casemate_tss_auth_fail, casemate_tss_bad_auth: return .wrongSecret
        case casemate_tss_policy_fail: return .policyUnmet
        case casemate_tss_handle: return .noSuchHandle
        case casemate_tss_integrity: return .foreignObject
        default: return .other(code)
        }
    }

    /// Whether the TPM found fault with what it was given, and not with itself: a code of format one.
    var isAboutParameters: Bool {
        switch self {
        case .foreignObject, .wrongSecret, .policyUnmet, .noSuchHandle: true
        case .other(let code): code & 0x80 != 0 && (code >> 16 == 0 || code >> 16 == 11)
        default: false
        }
    }

    /// For messages.
    var words: String {
        switch self {
        case .notStarted: "it was not started up"
        case .writesTooOften: "it refuses so many writes"
        case .policyUnmet: "its policy is not met"
        case .noSuchHandle: "there is no such thing in it"
        case .foreignObject: "the object is not this TPM's"
        case .other(let code): String(cString: Tss2_RC_Decode(code))
        default: "\(self)"
        }
    }
}
