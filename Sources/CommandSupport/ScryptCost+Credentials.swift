public import SecureBlock

extension ScryptCost {
    /// The cost for slots of `credentials`: such that a guess at a passphrase takes about `milliseconds` on this machine, and
    /// the standard's where none is one.
    public static func calibrated(
        for credentials: [Credential], milliseconds: UInt64
    ) throws(CommandFailure) -> ScryptCost {
        let takesPassphrase = credentials.contains { if case .passphrase = $0 { true } else { false } }
        guard takesPassphrase else { return .standard }
        do throws(SealError) { return try calibrated(milliseconds: milliseconds) } catch {
            throw CommandFailure(.cryptoFailed, "scrypt: \(error)")
        }
    }
}
