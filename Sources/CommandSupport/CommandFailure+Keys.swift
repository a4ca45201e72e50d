public import SecureBlock

extension CommandFailure {
    /// What adding or removing a key slot failed with, for people.
    public init(_ error: KeySlotChangeError, volume: String) {
        switch error {
        case .noFreeSlot:
            self.init(
                .keySlotRefused, "all key slots are in use", at: volume,
                advice: "Remove one: casemate keys remove \(volume) --slot NUMBER.")
        case .noSuchSlot(let slot):
            self.init(
                .keySlotRefused, "there is nothing in key slot \(slot)", at: volume,
                advice: "casemate keys list \(volume) shows which are in use.")
        case .lastSlot(let slot):
            self.init(
                .keySlotRefused, "key slot \(slot) is the only one in use; without it nobody could open the volume",
                at: volume, advice: "Add another first, or use: casemate keys change.")
        case .uncommittedChanges:
            self.init(.internal, "changes wait for a commit", at: volume)
        case .otherSlots(let slots):
            self.init(
                .keySlotRefused,
                "key slot \(slots.map(String.init).joined(separator: ", ")) would not open the volume any more",
                at: volume,
                advice:
                    "Give their secrets too (--also-passphrase-file, --also-key-file), or drop them: --drop-others."
            )
        case .tooManyKeys:
            self.init(
                .keySlotRefused, "parts of the volume are still sealed under too many older keys", at: volume,
                advice: "Let them be sealed again first; casemate info shows how far that is.")
        case .anchor(let error):
            self.init(
                .anchorUnavailable, "the volume has its new key, but the anchor did not take it: \(error)",
                at: volume,
                advice: "Nothing is lost: the next time the volume is opened for writing, it is tried again.")
        case .sealer(let error): self.init(error, volume: volume)
        case .device(let error): self.init(error, volume: volume)
        case .host(let error): self.init(error, volume: volume)
        case .crypto(let what): self.init(.cryptoFailed, what, at: volume)
        }
    }

    /// What a TPM answered that was to seal a secret, or to give one back.
    public init(_ error: KeySealerError, slot: Int? = nil, volume: String) {
        let name = slot.map { "key slot \($0): " } ?? ""
        switch error {
        case .unavailable(let reason):
            self.init(
                .tpmUnavailable, "\(name)\(reason)", at: volume,
                advice: "Mend that, name the TPM in CASEMATE_TPM_TCTI, or use another key slot.")
        case .lockedOut(let reason):
            self.init(
                .tpmLockedOut, "\(name)\(reason)", at: volume,
                advice:
                    "Wait, or have the TPM's owner reset it (tpm2_dictionarylockout -c); other key slots open the volume."
            )
        case .secretNeeded:
            self.init(
                .credentialUnusable, "\(name)the TPM asks for a PIN", at: volume,
                advice: "Give it: --tpm-pin asks for it, --tpm-pin-file PATH reads it.")
        case .wrongSecret:
            self.init(
                .wrongCredential, "\(name)wrong PIN", at: volume,
                advice: "Try again; after some wrong ones a TPM takes none for a while.")
        case .conditionsUnmet(let reason):
            self.init(
                .tpmRefused, "\(name)\(reason)", at: volume,
                advice:
                    "What the machine started with has changed. Use another key slot, and if the change is yours, seal "
                    + "anew: casemate keys add --new-tpm, then casemate keys remove.")
        case .foreign(let reason), .malformed(let reason):
            self.init(
                .tpmRefused, "\(name)\(reason)", at: volume,
                advice:
                    "It opens with the TPM that it was made with, unless that was cleared. Use another key slot.")
        }
    }
}
