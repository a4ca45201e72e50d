import CTSS

/// What a TPM, or the way to it, fails with. Nothing in it is secret.
public enum TPMError: Error, Hashable, Sendable {
    /// No TPM answers there, or not any more.
    case unreachable(TPMAddress, String)
    /// It was reached and does not work, or not yet; the text names the command and the reason.
    case failed(String)
    /// Too many wrong PINs were given to this TPM: for a while it takes none, whoever asks.
    case lockedOut
    /// Its owner has set a password, without which nothing can be made in it.
    case ownerPasswordSet
    /// It has no room for another index or object.
    case full
    /// An answer that is not the TPM's, or not to what was asked: something on the way changed it.
    case forged(String)
    /// The secret given is not the one that was set.
    case wrongSecret
    /// The policy that was set is not met.
    case policyUnmet
    /// What it was given was not made by it; the text says how that shows.
    case foreign(String)
    /// What the operating system or the crypto library refused.
    case system(String)

    /// - Parameter code: what `command` returned.
    init(_ code: TPMCode, _ command: String) {
        switch code {
        case .lockout: self = .lockedOut
        case .noSpace: self = .full
        case .forgedResponse: self = .forged(command)
        case .wrongSecret: self = .wrongSecret
        case .policyUnmet: self = .policyUnmet
        default: self = .failed("\(command): \(code.words)")
        }
    }
}

extension TPMError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreachable(let address, let reason): "no TPM at \(address): \(reason)"
        case .failed(let what): "the TPM failed: \(what)"
        case .lockedOut: "the TPM takes no PIN for a while, as too many wrong ones were given"
        case .ownerPasswordSet: "the TPM's owner has set a password, so nothing can be made in it"
        case .full: "the TPM is full"
        case .forged(let command): "\(command): the answer is not the TPM's own"
        case .wrongSecret: "the TPM does not take the secret"
        case .policyUnmet: "the TPM's policy is not met"
        case .foreign(let what), .system(let what): what
        }
    }
}
