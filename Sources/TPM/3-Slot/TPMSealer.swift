import CTSS
public import SecureBlock

/// Seals a key slot's secret in a TPM 2.0: a keyed-hash object below a storage key of the owner's hierarchy, on NIST P-256.
///
/// The object is useless to any other TPM, and to this one after it was cleared. It may ask for a PIN, whose wrong guesses
/// the TPM itself limits, and for the platform registers (PCR) to be as they were: for the same firmware, loader and kernel,
/// as far as they measure themselves.
public final class TPMSealer: KeySealer {
    public let address: TPMAddress
    /// `nil`: without one.
    public let pin: SecretBytes?
    /// Registers to seal to, by number from 0 to 23; opening goes by what the slot says.
    public let registers: [Int]

    /// What a guess at a PIN costs who got the object's secret out of its TPM.
    private static let pinCost = ScryptCost(logN: 14, r: 8, p: 1)

    /// - Parameter registers: those from 0 to 23; others make no sealer.
    public init?(at address: TPMAddress = .standard, pin: SecretBytes? = nil, registers: [Int] = []) {
        guard registers.allSatisfy((0..<Int(DiskSealedKey.registerCount)).contains) else { return nil }
        self.address = address
        self.pin = pin
        self.registers = registers
    }

    public func seal(_ secret: SecretBytes) throws(KeySealerError) -> [UInt8] {
        let salt: [UInt8]
        do throws(SealError) {
            salt =
                pin == nil
                ? [UInt8](repeating: 0, count: DiskSealedKey.saltBytes) : try Random.bytes(DiskSealedKey.saltBytes)
        } catch { throw .unavailable("random numbers: \(error)") }
        let mask =
            Sabotage.isOn(.registersNotSealed) ? 0 : registers.reduce(UInt32(0)) { $0 | 1 << UInt32($1) }
        let auth = try pinSecret(salt)
        do throws(TPMError) {
            let connection = try TPMConnection(address)
            let parent = try connection.makePrimary(in: casemate_tss_owner)
            let policy = mask == 0 ? nil : try connection.registerPolicy(mask, hasPIN: auth != nil, saltKey: parent)
            let made = try connection.seal(
                secret, auth: auth, policy: policy, attributes: Self.attributes(hasPIN: auth != nil, mask),
                parent: parent)
            return DiskSealedKey(
                hasPIN: auth != nil, registers: mask, salt: salt, parent: try connection.digest(of: parent),
                policy: policy ?? [UInt8](repeating: 0, count: DiskSealedKey.digestBytes), unique: made.unique,
                privateBytes: made.privateBytes
            ).bytes
        } catch { throw Self.failure(error) }
    }

    public func unseal(_ sealed: [UInt8]) throws(KeySealerError) -> SecretBytes {
        let stored: DiskSealedKey
        do throws(ParseError) { stored = try DiskSealedKey.parse(sealed) } catch {
            throw .malformed("what is stored was not made by a TPM: \(error)")
        }
        guard !stored.hasPIN || pin != nil else { throw .secretNeeded }
        let auth = stored.hasPIN ? try pinSecret(stored.salt) : nil
        do throws(TPMError) {
            let connection = try TPMConnection(address)
            let parent = try connection.makePrimary(in: casemate_tss_owner)
            guard try connection.digest(of: parent) == stored.parent else {
                throw TPMError.foreign("made with another TPM, or before this one was cleared")
            }
            let attributes = Self.attributes(hasPIN: stored.hasPIN, stored.registers)
            guard let object = try connection.load(stored, attributes: attributes, parent: parent) else {
                throw TPMError.foreign("the TPM does not know what is stored")
            }
            return try connection.unseal(object, stored, auth: auth, parent: parent)
        } catch { throw Self.failure(error) }
    }

    /// Without registers the object's own secret opens it, and with them only the policy does. Without a PIN there is nothing
    /// to guess, and so nothing to lock.
    private static func attributes(hasPIN: Bool, _ registers: UInt32) -> UInt32 {
        UInt32(
            casemate_tss_fixed | (registers == 0 ? casemate_tss_user_with_auth : 0)
                | (hasPIN ? 0 : casemate_tss_no_da))
    }

    private func pinSecret(_ salt: [UInt8]) throws(KeySealerError) -> SecretBytes? {
        guard let pin else { return nil }
        do throws(SealError) {
            return try salt.withRawBytes { salt throws(SealError) in
                try KeyDerivation.scrypt(passphrase: pin, salt: salt, cost: Self.pinCost)
            }
        } catch { throw .unavailable("scrypt: \(error)") }
    }

    private static func failure(_ error: TPMError) -> KeySealerError {
        switch error {
        case .lockedOut: .lockedOut("\(error)")
        case .wrongSecret: .wrongSecret
        case .foreign(let how): .foreign(how)
        case .policyUnmet: .conditionsUnmet("the platform registers are not as they were: \(error)")
        default: .unavailable("\(error)")
        }
    }
}
