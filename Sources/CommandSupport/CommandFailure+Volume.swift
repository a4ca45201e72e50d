public import SecureBlock
import SystemPackage

extension CommandFailure {
    /// A volume at `path` that could not be created or opened.
    public init(_ error: VolumeError, volume path: String) {
        switch error {
        case .empty:
            self.init(
                .emptyFile, "the file is empty", at: path,
                advice: "If a volume was here, its content is gone; restore a copy. To make one: casemate create.")
        case .notAVolume:
            self.init(
                .notAVolume, "not a Casemate volume: neither superblock has its magic number", at: path,
                advice: "Check the path. If it should be a volume, its first 128 KiB were overwritten.")
        case .newerVersion(let found, let supported):
            self.init(
                .newerVersion, "format version \(found), and this program knows up to \(supported)", at: path,
                advice: "Use a newer Casemate.")
        case .unknownFeatures(let incompatible, let readOnlyCompatible):
            self.init(
                .unknownFeatures,
                "unknown features: incompat 0x\(String(incompatible, radix: 16)), "
                    + "ro-compat 0x\(String(readOnlyCompatible, radix: 16))",
                at: path,
                advice: incompatible == 0
                    ? "Open it read-only (--read-only), or use a newer Casemate." : "Use a newer Casemate.")
        case .superblocksDamaged:
            self.init(
                .superblocksDamaged, "both copies of the superblock are damaged", at: path,
                advice: "Restore a copy of the volume; keep this one as it is.")
        case .truncated(let expected, let found):
            self.init(
                .truncated, "the file has \(found) bytes, the volume in it needs \(expected)", at: path,
                advice: "Restore the whole file; nothing was changed.")
        case .wrongCredential:
            self.init(
                .wrongCredential, "wrong passphrase or key file (the key slot itself is intact)", at: path,
                advice: "Try again; mind the keyboard layout and which volume this is.")
        case .keySlotsDamaged(let slots):
            self.init(
                .keySlotDamaged,
                "damaged key slot \(slots.map(String.init).joined(separator: ", ")): "
                    + "no passphrase or key file can open it",
                at: path, advice: "Use another key slot (another kind of key), or restore a copy of the volume.")
        case .sealer(let slot, let error): self.init(error, slot: slot, volume: path)
        case .noKeySlot:
            self.init(
                .noKeySlot, "no key slot for this kind of key", at: path,
                advice: "It was made for another kind: try a passphrase, --key-file or --tpm.")
        case .keySlotRevoked(let slot):
            self.init(
                .wrongCredential, "what opens key slot \(slot) was removed from the volume, and opens it no more",
                at: path,
                advice: "Use another secret. An interrupted change left the slot, or the host put it back.")
        case .rootsDamaged:
            self.init(
                .metadataDamaged, "neither root verifies", at: path,
                advice: "Restore a copy of the volume; keep this one as it is.")
        case .rollback(let anchor, let volume):
            self.init(
                .rollback,
                "ROLLBACK: the volume stands at commit \(volume.rawValue), the anchor at commit \(anchor.rawValue)",
                at: path,
                advice: "An older copy was put back, or acknowledged writes were lost. Find the newer volume; "
                    + "if you put this copy here yourself and accept the loss: --adopt-anchor with a new anchor.")
        case .rootsRolledBack(let found, let known):
            self.init(
                .rollback,
                "ROLLBACK: the volume's newest root is number \(found), and its log knows number \(known)",
                at: path,
                advice:
                    "Older roots were put back, with an older size, key slots or snapshots. Find the newer volume, or "
                    + "have fsck --salvage bring back what the log holds.")
        case .fork(let anchor, let volume):
            self.init(
                .fork,
                "FORK: the volume stands at commit \(volume.rawValue) of another history than the anchor's "
                    + "commit \(anchor.rawValue)",
                at: path, advice: "Two copies of the volume were written. Use the one the anchor goes with.")
        case .anchorUnavailable(let reason):
            self.init(
                .anchorUnavailable, "the anchor cannot be used: \(reason)", at: path,
                advice:
                    "Make the anchor's storage available; without it nobody can tell an old copy. If it is lost for "
                    + "good: --adopt-anchor takes a new one in its place.")
        case .anchorOfAnotherVolume:
            self.init(
                .anchorOfAnotherVolume, "the anchor belongs to another volume", at: path,
                advice: "Check --anchor: each volume has its own.")
        case .anchorRefused(let reason):
            self.init(
                .anchorOfAnotherVolume, "the anchor does not answer to this volume's key: \(reason)", at: path,
                advice: "It is another volume's, or this is a copy from before the volume's key was changed.")
        case .anchorRequired:
            self.init(
                .anchorRequired, "this volume has an anchor, and none was given", at: path,
                advice:
                    "Give it: --anchor file:PATH or tpm:INDEX. If it is lost for good: --adopt-anchor with a new one."
            )
        case .ambiguousChain(let sequence):
            self.init(
                .metadataDamaged, "two records claim to be number \(sequence.rawValue) of the log", at: path,
                advice: "The host mixed two copies. Restore one of them whole.")
        case .corrupt(let what):
            self.init(
                .metadataDamaged, "damaged: \(what)", at: path,
                advice: "casemate fsck tells more. Restore a copy of the volume; keep this one as it is.")
        case .noSuchCommit(let sequence):
            self.init(
                .noSuchCommit, "no commit \(sequence.rawValue) any more, or never", at: path,
                advice: "casemate replay --list shows the commits that are held.")
        case .noSuchSnapshot(let name):
            self.init(
                .noSuchSnapshot, "no snapshot \"\(name)\"", at: path,
                advice: "casemate snapshot list shows what there is.")
        case .host(let error): self.init(error, volume: path)
        case .readOnlyHost:
            self.init(
                .readOnlyHost, "the volume's file is read-only", at: path,
                advice: "Make it writable, or use --read-only.")
        case .notEmpty:
            self.init(
                .notEmpty, "something is there already, and nothing is ever overwritten", at: path,
                advice: "Choose another name, or remove it yourself.")
        case .unsuitableOptions(let reason): self.init(.usage, reason, at: path)
        case .crypto(let reason): self.init(.cryptoFailed, reason, at: path)
        case .device(let error): self.init(error, volume: path)
        }
    }

    /// A host call on the volume at `path` that failed.
    public init(_ error: HostError, volume path: String) {
        switch error {
        case .failed(let call, let errno, let offset):
            self.init(
                .hostFailed, "\(call) failed\(offset.map { " at byte \($0)" } ?? ""): \(systemMessage(errno))",
                at: path, advice: "Look at the kernel's log and the disk below.")
        case .beyondEnd(let offset):
            self.init(
                .truncated, "the file ends before byte \(offset)", at: path,
                advice: "Restore the whole file; nothing was changed.")
        case .noSpace:
            self.init(.hostFull, "the disk that holds it is full", at: path, advice: "Make room there.")
        case .inUse:
            self.init(
                .inUse, "another process has the volume open", at: path,
                advice: "Unmount it first (casemate unmount DIR), or find the process: fuser -v \(path)")
        case .unopenable(_, let errno):
            switch Errno(rawValue: errno) {
            case .noSuchFileOrDirectory, .notDirectory:
                self.init(
                    .volumeMissing, "no such file", at: path,
                    advice: "Check the path; to make one: casemate create.")
            case .permissionDenied, .notPermitted:
                self.init(
                    .volumeForbidden, "no permission to open it", at: path,
                    advice: "Use the account that owns it, or have its owner give you access.")
            case .readOnlyFileSystem, .textFileBusy:
                self.init(
                    .readOnlyHost, "it cannot be opened for writing: \(systemMessage(errno))", at: path,
                    advice: "Make it writable, or use --read-only.")
            case .isDirectory:
                self.init(.notAFile, "a directory, not a volume", at: path)
            case .noSpace:
                self.init(.hostFull, "the disk that holds it is full", at: path, advice: "Make room there.")
            default: self.init(.hostFailed, "it cannot be opened: \(systemMessage(errno))", at: path)
            }
        case .unsuitable:
            self.init(.notAFile, "neither a regular file nor a block device", at: path)
        case .closed: self.init(.internal, "it is closed", at: path)
        }
    }

    /// A call on the open device of the volume at `path` that failed.
    public init(_ error: DeviceError, volume path: String) {
        switch error {
        case .unreadable(let block, .host(let error)):
            self.init(error, volume: path)
            what = "\(block): \(what)"
        case .unreadable(let block, let reason):
            self.init(
                .blockUnreadable, "\(block) does not verify (\(reason.words))", at: path,
                advice: "casemate fsck --read-data lists everything that is concerned.")
        case .noSpace:
            self.init(.volumeFull, "no space left in the volume", at: path, advice: "Delete something in it.")
        case .commitRequired:
            self.init(.volumeFull, "too much was overwritten since the last commit", at: path, advice: "Sync.")
        case .readOnly: self.init(.readOnlyHost, "opened read-only", at: path)
        case .latched(let reason):
            self.init(
                .hostFailed, "writing ended: \(reason)", at: path,
                advice: "What was synced is safe. Mend the cause, unmount and mount again.")
        case .outOfRange(let block, let count):
            self.init(.internal, "\(count) blocks from \(block) lie outside the device", at: path)
        case .misaligned(let byteCount): self.init(.internal, "\(byteCount) bytes are no whole blocks", at: path)
        case .closed: self.init(.internal, "the device is closed", at: path)
        }
    }
}

extension UnreadableReason {
    /// What does not verify and where, for messages.
    public var words: String {
        switch self {
        case .tagMismatch(let block): "data at \(block)"
        case .headerMismatch(let block): "record header at \(block)"
        case .mapMismatch(let block): "map page at \(block)"
        case .hashMismatch(0, let number): "block \(number) of the image"
        case .hashMismatch(let level, let number): "page \(number) of hashes on level \(level) of the image"
        case .crypto(let cause): "the crypto library failed: \(cause)"
        case .lost: "lost, as a repair or a salvage found"
        case .host(let error): "host: \(error)"
        }
    }
}
