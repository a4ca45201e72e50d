import CommandSupport
import FUSEFront
import SecureBlock

/// A credential on its way to the background process: one byte that says its kind, then its bytes.
extension Credential {
    func parcel() throws(FUSEError) -> SecretParcel {
        let (kind, secret): (UInt8, SecretBytes) =
            switch self {
            case .passphrase(let secret): (1, secret)
            case .keyFile(let secret): (2, secret)
            }
        var parcel = SecretParcel()
        try withUnsafeBytes(of: kind) { byte throws(FUSEError) in try parcel.append(byte) }
        try secret.withUnsafeBytes { bytes throws(FUSEError) in try parcel.append(bytes) }
        return parcel
    }

    /// `nil` for a parcel that holds something else.
    init?(_ parcel: borrowing SecretParcel) throws(CommandFailure) {
        var kind: UInt8?
        var secret: SecretBytes?
        do throws(SealError) {
            try parcel.forEach { item throws(SealError) in
                if kind == nil {
                    kind = item.first
                } else {
                    secret = try SecretBytes(copying: item)
                }
            }
        } catch {
            throw CommandFailure(.cryptoFailed, "no memory for a secret: \(error)")
        }
        switch (kind, secret) {
        case (1, let secret?): self = .passphrase(secret)
        case (2, let secret?): self = .keyFile(secret)
        default: return nil
        }
    }
}
