import CTSS
import SecureBlock

/// One conversation with a TPM: opened for a few commands, then ended, so that others get their turn and a TPM that was
/// reset meanwhile does no harm. Used by one thread at a time.
///
/// What was loaded into the TPM is taken out again when the conversation ends.
final class TPMConnection {
    let address: TPMAddress
    // SAFETY: both are the library's, made by `init` and freed once, by `deinit`; the transport outlives the context.
    let context: OpaquePointer
    private let transport: OpaquePointer
    /// Transient objects and sessions, to be flushed.
    private var loaded: [ESYS_TR] = []

    init(_ address: TPMAddress) throws(TPMError) {
        self.address = address
        var transport: OpaquePointer?
        if let code = TPMCode(Tss2_TctiLdr_Initialize(address.text, &transport)) {
            throw .unreachable(address, code.words)
        }
        guard let transport else { throw .unreachable(address, "no transport") }
        var context: OpaquePointer?
        if let code = TPMCode(Esys_Initialize(&context, transport, nil)) {
            var transport: OpaquePointer? = transport
            Tss2_TctiLdr_Finalize(&transport)
            throw .unreachable(address, code.words)
        }
        guard let context else { throw .unreachable(address, "no context") }
        self.transport = transport
        self.context = context
    }

    deinit {
        for handle in loaded.reversed() { Esys_FlushContext(context, handle) }
        var context: OpaquePointer? = context
        Esys_Finalize(&context)
        var transport: OpaquePointer? = transport
        Tss2_TctiLdr_Finalize(&transport)
    }

    /// Runs one command of the library.
    func run(_ command: String, _ body: (OpaquePointer) -> TSS2_RC) throws(TPMError) {
        if let code = attempt(body) { throw failure(code, command) }
    }

    /// As ``run(_:_:)``, for callers that tell answers apart.
    func attempt(_ body: (OpaquePointer) -> TSS2_RC) -> TPMCode? { TPMCode(body(context)) }

    /// A transport that breaks in the middle is a TPM that cannot be reached.
    func failure(_ code: TPMCode, _ command: String) -> TPMError {
        if case .other(let value) = code, value >> 16 & 0xFF == 10 {
            return .unreachable(address, "\(command): \(code.words)")
        }
        return TPMError(code, command)
    }

    /// Has `handle` taken out of the TPM at the end.
    func keep(_ handle: ESYS_TR) { loaded.append(handle) }

    /// Takes it out now.
    func flush(_ handle: ESYS_TR) {
        guard let place = loaded.firstIndex(of: handle) else { return }
        loaded.remove(at: place)
        // A session or object that stays costs the TPM a place until its next reset, and the caller nothing.
        Esys_FlushContext(context, handle)
    }
}
