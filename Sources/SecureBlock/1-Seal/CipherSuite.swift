/// How everything on a volume is sealed, chosen when it is made. Raw values are stored.
///
/// Key slots are always wrapped with AES-256-GCM, whatever the suite: keys stay secret on every volume.
public enum CipherSuite: UInt16, Sendable, CaseIterable {
    /// AES-256-GCM (NIST SP 800-38D): the fastest where the processor has AES instructions.
    case aes256GCM = 1
    /// ChaCha20-Poly1305 (RFC 8439): as strong, and fast without AES instructions.
    case chaCha20Poly1305 = 2
    /// No confidentiality: everything is stored in clear, and HMAC-SHA-256 (RFC 2104), cut to 128 bits, under a secret
    /// key keeps it from being changed, moved or replayed unnoticed.
    case integrityOnly = 3

    /// Whether the host can read what is stored.
    public var isConfidential: Bool { self != .integrityOnly }
}

extension CipherSuite: CustomStringConvertible {
    public var description: String {
        switch self {
        case .aes256GCM: "AES-256-GCM"
        case .chaCha20Poly1305: "ChaCha20-Poly1305"
        case .integrityOnly: "HMAC-SHA-256-128, stored in clear"
        }
    }
}

extension CipherSuite {
    /// The name in options: `aes-256-gcm`, `chacha20-poly1305`, `integrity-only`.
    public var name: String {
        switch self {
        case .aes256GCM: "aes-256-gcm"
        case .chaCha20Poly1305: "chacha20-poly1305"
        case .integrityOnly: "integrity-only"
        }
    }

    /// From a ``name``.
    public init?(name: String) {
        guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }
}
