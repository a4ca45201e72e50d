/// What a program's exit status means: one number for each class of failure, stable for ever.
///
/// `fsck` does not use these but the ones of `fsck(8)`, see ``FsckStatus``. The list is printed by `casemate exit-codes` and stands in
/// `docs/EXIT-CODES.md`. Numbers are never reused.
public enum CommandStatus: Int32, CaseIterable, Sendable {
    case success = 0
    case `internal` = 1

    // What the bytes are.
    case notAVolume = 10
    case emptyFile = 11
    case newerVersion = 12
    case unknownFeatures = 13
    case superblocksDamaged = 14
    case truncated = 15
    case metadataDamaged = 16
    case noSuchCommit = 17
    case blockUnreadable = 18
    case filesystemDamaged = 19

    // Keys.
    case wrongCredential = 20
    case keySlotDamaged = 21
    case noKeySlot = 22
    case credentialUnusable = 23
    case cryptoFailed = 24
    case keySlotRefused = 25
    case tpmUnavailable = 26
    case tpmRefused = 27
    case tpmLockedOut = 28

    // Freshness.
    case rollback = 30
    case fork = 31
    case anchorUnavailable = 32
    case anchorOfAnotherVolume = 33
    case anchorRequired = 34

    // The host.
    case inUse = 40
    case readOnlyHost = 41
    case hostFull = 42
    case hostFailed = 43
    case volumeMissing = 44
    case volumeForbidden = 45
    case notEmpty = 46
    case volumeFull = 47
    case notAFile = 48
    case fileMissing = 49

    // Mounting.
    case mountpointMissing = 50
    case mountpointUnsuitable = 51
    case mountpointNotEmpty = 52
    case mountpointHoldsVolume = 53
    case alreadyMounted = 54
    case notMounted = 55
    case mountBusy = 56
    case fuseUnavailable = 57
    case daemonLost = 58
    case commandBusy = 59

    // Changing a volume.
    case noSuchSnapshot = 60
    case snapshotRefused = 61
    case resizeRefused = 62
    case commandRefused = 63

    /// `EX_USAGE` of `sysexits.h`.
    case usage = 64

    // Images.
    case wrongRootHash = 70
    case rootHashRequired = 71
    case notAnImage = 72
    case sourceUnreadable = 73

    /// A word for scripts and documents: `wrong-credential`.
    public var name: String {
        var words = ""
        for character in "\(self)" {
            if character.isUppercase { words.append("-") }
            words.append(character.lowercased())
        }
        return words
    }

    /// One line that says what it means.
    public var meaning: String {
        switch self {
        case .success: "all went well"
        case .internal: "a failure without a class of its own; the message says what happened"
        case .notAVolume: "the file is not a Casemate volume"
        case .emptyFile: "the file is empty, so it is no volume"
        case .newerVersion: "the volume has a newer format version than this program knows"
        case .unknownFeatures: "the volume uses features that this program does not have"
        case .superblocksDamaged: "both copies of the superblock are damaged"
        case .truncated: "the file is shorter than the volume in it"
        case .metadataDamaged: "the volume's own structures do not verify"
        case .noSuchCommit: "the commit asked for is not held by the volume"
        case .blockUnreadable: "a block could not be read or does not verify"
        case .filesystemDamaged: "the device is sound but the filesystem on it is not, or there is none"
        case .wrongCredential: "wrong passphrase or key file"
        case .keySlotDamaged: "the key slot is damaged, whatever the passphrase"
        case .noKeySlot: "the volume has no key slot of the kind given"
        case .credentialUnusable: "the passphrase or key file could not be read or used"
        case .cryptoFailed: "the crypto library or the system's random numbers failed"
        case .keySlotRefused: "the key slot cannot be added or removed; the message says why"
        case .tpmUnavailable: "the TPM that keeps the key cannot be used"
        case .tpmRefused: "the TPM does not give the key: it is another TPM, or the machine's state is another"
        case .tpmLockedOut: "the TPM takes no PIN for a while, as too many wrong ones were given"
        case .rollback: "an older copy of the volume, or of its roots, was put back"
        case .fork: "the anchor names a commit of another branch of this volume's history"
        case .anchorUnavailable: "the anchor cannot be read or written"
        case .anchorOfAnotherVolume: "the anchor belongs to another volume"
        case .anchorRequired: "the volume has an anchor, and none was given"
        case .inUse: "another process has the volume open"
        case .readOnlyHost: "the volume's file is read-only"
        case .hostFull: "the disk that holds the volume is full"
        case .hostFailed: "reading or writing the volume's file failed"
        case .volumeMissing: "there is no such file"
        case .volumeForbidden: "no permission to open the volume's file"
        case .notEmpty: "create: something is there already, and nothing is overwritten"
        case .volumeFull: "no space left inside the volume"
        case .notAFile: "the path is neither a regular file nor a block device"
        case .fileMissing: "the path inside the volume cannot be found or read"
        case .mountpointMissing: "the mount point does not exist"
        case .mountpointUnsuitable: "the mount point is not a directory, or may not be used"
        case .mountpointNotEmpty: "the mount point is not empty"
        case .mountpointHoldsVolume: "the volume's file lies below the mount point"
        case .alreadyMounted: "something is mounted there already"
        case .notMounted: "no Casemate volume is mounted there"
        case .mountBusy: "the mount is in use"
        case .fuseUnavailable: "FUSE is not there or may not be used"
        case .daemonLost: "the process that serves the mount ended unexpectedly"
        case .noSuchSnapshot: "the volume has no snapshot of that name"
        case .snapshotRefused: "the snapshot cannot be made or deleted; the message says why"
        case .resizeRefused: "the volume cannot have the size asked for; the message says why"
        case .commandBusy: "a mounted volume is busy with another command of this kind"
        case .commandRefused: "the process that serves the mount does not take the command"
        case .wrongRootHash: "the image has another root hash than the one given"
        case .rootHashRequired: "an image is mounted by its root hash, and none was given"
        case .notAnImage: "the file is not a Casemate image"
        case .sourceUnreadable: "what is to be put into an image cannot be read, or not be put there"
        case .usage: "the command line is wrong; nothing was done"
        }
    }
}

/// Exit status of `casemate fsck`, a sum of these, as `fsck(8)` defines them.
public struct FsckStatus: OptionSet, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }
    public static let clean: FsckStatus = []
    public static let corrected = FsckStatus(rawValue: 1)
    public static let errorsLeft = FsckStatus(rawValue: 4)
    public static let operationalError = FsckStatus(rawValue: 8)
    public static let usage = FsckStatus(rawValue: 16)
    public static let cancelled = FsckStatus(rawValue: 32)
}
