/// What went wrong around keys and ciphers. A tag that does not match is not among them: that is an answer, not an
/// error of the machine.
public enum SealError: Error, Hashable, Sendable {
    /// The operating system gave no random bytes.
    case randomUnavailable
    /// The crypto library refused; the text names the call.
    case crypto(String)
    /// No memory for a secret (`mmap`), with the error number.
    case memory(errno: Int32)
    /// The key was made by another process: this one is a fork of it, and sealing here would use nonces twice.
    case forked
    /// The device that was to seal a secret does not.
    case sealer(KeySealerError)
    /// A cost or length outside what is allowed; the text says which.
    case unsuitable(String)
}
