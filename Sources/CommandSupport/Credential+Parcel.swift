import FUSEFront
import SecureBlock

/// A volume's secret on its way into the background process: one byte for its kind, then the secret.
extension Credential {
    private static let passphraseKind: UInt8 = 1
    private static let keyFileKind: UInt8 = 2

    /// Adds the credential to what a background process is handed.
    public func append(to parcel: inout SecretParcel) throws(FUSEError) {
        let (kind, secret): (UInt8, SecretBytes)
        switch self {
        case .passphrase(let bytes): (kind, secret) = (Self.passphraseKind, bytes)
        case .keyFile(let bytes): (kind, secret) = (Self.keyFileKind, bytes)
        }
        try withUnsafeBytes(of: kind) { kind throws(FUSEError) in try parcel.append(kind) }
        try secret.withUnsafeBytes { bytes throws(FUSEError) in try parcel.append(bytes) }
    }

    /// The credentials of a parcel, in the order they were put in. Any bytes may come; only what ``append(to:)`` makes
    /// is taken.
    /// - Throws: ``CommandFailure`` for a parcel that holds something else, or when there is no memory for a secret.
    public static func all(in parcel: borrowing SecretParcel) throws(CommandFailure) -> [Credential] {
        var credentials: [Credential] = []
        var kind: UInt8?
        var isWhole = true
        do throws(SealError) {
            try parcel.forEach { bytes throws(SealError) in
                guard let current = kind else {
                    kind = bytes.first ?? 0
                    return
                }
                kind = nil
                switch (current, bytes.count) {
                case (passphraseKind, 1...SecretInput.capacity):
                    credentials.append(.passphrase(try SecretBytes(copying: bytes)))
                case (keyFileKind, keyFileBytes): credentials.append(.keyFile(try SecretBytes(copying: bytes)))
                default: isWhole = false
                }
            }
        } catch {
            throw CommandFailure(.cryptoFailed, "no memory for a secret: \(error)")
        }
        guard isWhole, kind == nil else {
            throw CommandFailure(.credentialUnusable, "no passphrase and no key file was handed over")
        }
        return credentials
    }
}
