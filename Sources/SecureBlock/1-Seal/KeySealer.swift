/// A device that keeps a secret and gives it back only itself, and only under the conditions that were set: a TPM, a smart
/// card. Calls may come from any thread.
public protocol KeySealer: AnyObject, Sendable {
    /// Seals `secret`, which has 32 bytes.
    /// - Returns: what ``unseal(_:)`` needs, for storage that is not trusted: at most ``KeySlot/sealedLimitBytes``.
    func seal(_ secret: SecretBytes) throws(KeySealerError) -> [UInt8]

    /// The secret again.
    /// - Parameter sealed: any bytes; only what ``seal(_:)`` gave leads to a secret.
    func unseal(_ sealed: [UInt8]) throws(KeySealerError) -> SecretBytes
}

/// Why a device does not seal a secret, or does not give it back. Nothing in it is secret.
public enum KeySealerError: Error, Hashable, Sendable {
    /// The device cannot be reached, or does not work.
    case unavailable(String)
    /// It gives nothing to anybody for a while, as too many wrong secrets were given.
    case lockedOut(String)
    /// A secret of the person's goes with it, and none was given.
    case secretNeeded
    case wrongSecret
    /// The machine is not in the state that was set.
    case conditionsUnmet(String)
    /// Another device's, or changed since.
    case foreign(String)
    /// Bytes that no device made.
    case malformed(String)

    /// How much it tells where several slots were tried: the reason of the slot that came nearest counts.
    var weight: Int {
        switch self {
        case .malformed: 0
        case .foreign: 1
        case .unavailable: 2
        case .conditionsUnmet: 3
        case .secretNeeded: 4
        case .lockedOut: 5
        case .wrongSecret: 6
        }
    }
}
