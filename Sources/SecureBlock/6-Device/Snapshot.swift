/// A commit under a name, kept until the name is deleted.
public struct Snapshot: Sendable, Hashable {
    public var name: SnapshotName
    public var commit: SequenceNumber
    /// When the commit was made, in milliseconds since the epoch, by the writer's clock.
    public var timeMilliseconds: UInt64

    init(_ entry: SnapshotEntry) {
        name = entry.name
        commit = entry.commit
        timeMilliseconds = entry.timeMilliseconds
    }
}

/// Why a snapshot was not made or not deleted. Unless the device says otherwise, all is as before.
public enum SnapshotError: Error, Hashable, Sendable {
    case nameTaken(SnapshotName)
    case noSuchSnapshot(SnapshotName)
    /// There are ``SecureDevice/maximumSnapshots`` already.
    case tooMany
    /// The snapshot is open.
    case inUse(SnapshotName)
    /// Something of the client's waits for a commit, which the device must not make for it.
    case uncommittedChanges
    /// So little is free beside what the snapshot would keep that nothing could be written any more.
    case noSpace
    /// What the snapshot needs cannot be told, as its root, segment table or map do not verify.
    case damaged(SnapshotName, String)
    case device(DeviceError)
}
