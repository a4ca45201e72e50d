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

    /// The credentials of a parcel, in the order they were put in.
    /// - Throws: ``CommandFailure`` when there is no memory for a secret.
    public static func all(in parcel: borrowing SecretParcel) throws(CommandFailure) -> [Credential] {
        var credentials: [Credential] = []
        var kind: UInt8?
        do throws(SealError) {
            try parcel.forEach { bytes throws(SealError) in
                guard let current = kind else {
                    kind = bytes.first
                    return
                }
                kind = nil
                let secret = try SecretBytes(copying: bytes)
                credentials.append(current == keyFileKind ? .keyFile(secret) : .passphrase(secret))
            }
        } catch {
            throw CommandFailure(.cryptoFailed, "no memory for a secret: \(error)")
        }
        return credentials
    }
}
