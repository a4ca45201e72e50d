/// What opens a volume.
public enum Credential: Sendable {
    /// Text of any length from a person, stretched by scrypt.
    case passphrase(SecretBytes)
    /// Exactly 32 bytes with full entropy, from a file or another machine.
    case keyFile(SecretBytes)
    /// What a device keeps.
    case sealer(any KeySealer)

    /// The length of a key file in bytes.
    public static let keyFileBytes = 32
}
