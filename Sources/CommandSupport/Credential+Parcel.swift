import FUSEFront
import SecureBlock
import SystemPackage
import TPM

/// A volume's secret on its way into the background process: one byte for its kind, then the secret.
extension Credential {
    private static let passphraseKind: UInt8 = 1
    private static let keyFileKind: UInt8 = 2
    /// Platform registers, a bit each in 4 bytes, then the PIN if there is one.
    private static let tpmKind: UInt8 = 3
    private static let maskBytes = 4

    /// Adds the credential to what a background process is handed.
    public func append(to parcel: inout SecretParcel) throws(FUSEError) {
        let (kind, secret): (UInt8, SecretBytes)
        switch self {
        case .passphrase(let bytes): (kind, secret) = (Self.passphraseKind, bytes)
        case .keyFile(let bytes): (kind, secret) = (Self.keyFileKind, bytes)
        case .sealer(let sealer):
            guard let sealer = sealer as? TPMSealer else { preconditionFailure("programs know one kind of sealer") }
            (kind, secret) = (Self.tpmKind, try Self.packed(sealer))
        }
        try withUnsafeBytes(of: kind) { kind throws(FUSEError) in try parcel.append(kind) }
        try secret.withUnsafeBytes { bytes throws(FUSEError) in try parcel.append(bytes) }
    }

    /// All but the TPM's address: a daemon finds it as we do, by its environment.
    private static func packed(_ sealer: TPMSealer) throws(FUSEError) -> SecretBytes {
        let mask = sealer.registers.reduce(UInt32(0)) { $0 | 1 << UInt32($1) }
        do throws(SealError) {
            return try SecretBytes(byteCount: maskBytes + (sealer.pin?.byteCount ?? 0)) {
                buffer throws(SealError) in
                var writer = ByteWriter(buffer)
                writer.u32(mask)
                sealer.pin?.withUnsafeBytes { writer.bytes($0) }
            }
        } catch {
            throw .system(call: "mmap", errno: .noMemory, path: nil)
        }
    }

    private static func unpacked(_ bytes: UnsafeRawBufferPointer) throws(SealError) -> TPMSealer? {
        let mask = (0..<maskBytes).reduce(UInt32(0)) { $0 | UInt32(bytes[$1]) << UInt32(8 * $1) }
        let pin =
            bytes.count > maskBytes
            ? try SecretBytes(copying: UnsafeRawBufferPointer(rebasing: bytes[maskBytes...])) : nil
        return TPMSealer(
            at: .fromEnvironment, pin: pin, registers: (0..<32).filter { mask & 1 << UInt32($0) != 0 })
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
                case (tpmKind, maskBytes...SecretInput.capacity + maskBytes):
                    if let sealer = try unpacked(bytes) {
                        credentials.append(.sealer(sealer))
                    } else {
                        isWhole = false
                    }
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
