/// Why a volume could not be created or opened. Nothing on the volume was changed.
public enum VolumeError: Error, Hashable, Sendable {
    // What the bytes are.
    /// The backing store is empty.
    case empty
    /// Neither superblock carries the magic number.
    case notAVolume
    /// A newer format version than this program writes.
    case newerVersion(found: UInt16, supported: UInt16)
    /// Incompatible (or, for writing, read-only-compatible) features this program does not have, as a bit mask.
    case unknownFeatures(incompatible: UInt64, readOnlyCompatible: UInt64)
    /// Both superblocks are damaged.
    case superblocksDamaged
    /// The backing store is shorter than the volume's geometry.
    case truncated(expectedBytes: UInt64, foundBytes: UInt64)

    // Keys.
    /// At least one intact slot of the credential's kind, and it opens none.
    case wrongCredential
    /// Every slot of the credential's kind is damaged (a checksum over its public bytes fails).
    case keySlotsDamaged([Int])
    /// No slot of the credential's kind exists.
    case noKeySlot
    /// The credential opens a slot that the newest root does not bind: it was removed, and an interrupted change left it, or
    /// the host put it back.
    case keySlotRevoked(Int)

    /// The device that keeps a slot's secret does not give it, or does not seal one; no slot of the kind opens.
    case sealer(slot: Int, KeySealerError)

    // What recovery found.
    /// Neither root verifies.
    case rootsDamaged
    /// The anchor names a later commit than the volume holds: an older copy was put back.
    case rollback(anchor: SequenceNumber, volume: SequenceNumber)
    /// The anchor names a commit that this volume's chain does not have: another branch of it was written.
    case fork(anchor: SequenceNumber, volume: SequenceNumber)
    /// Both root slots are older than the log says: older ones were put back, and with them what only roots hold, as the
    /// volume's size, its key slots, its snapshots.
    case rootsRolledBack(found: UInt64, known: UInt64)
    /// The anchor cannot be read, or is not one.
    case anchorUnavailable(String)
    /// The anchor belongs to another volume.
    case anchorOfAnotherVolume
    /// The anchor does not answer to this volume's key: it is another volume's, or this is a copy from before the key was
    /// changed. The text says where.
    case anchorRefused(String)
    /// The volume was used with an anchor before and is opened without one.
    case anchorRequired
    /// Two records claim the same place in the chain.
    case ambiguousChain(SequenceNumber)
    /// Metadata that a sound volume has does not verify.
    case corrupt(String)
    /// The commit asked for is not on the chain any more, or never was.
    case noSuchCommit(SequenceNumber)
    case noSuchSnapshot(SnapshotName)

    // Circumstances.
    case host(HostError)
    /// The backing store is read-only and the volume was to be written.
    case readOnlyHost
    /// `create` found something there.
    case notEmpty
    /// Options of `create` that make no volume.
    case unsuitableOptions(String)
    /// The operating system refused random bytes or memory, or the crypto library failed.
    case crypto(String)
    case device(DeviceError)
}

extension VolumeError {
    /// An anchor that could not be read.
    init(_ error: AnchorError) {
        if case .refused(let reason) = error {
            self = .anchorRefused(reason)
        } else {
            self = .anchorUnavailable("\(error)")
        }
    }
}
