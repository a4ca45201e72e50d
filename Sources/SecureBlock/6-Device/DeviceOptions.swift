/// What `create` makes.
public struct VolumeOptions: Sendable {
    /// Size of the virtual device in bytes, a multiple of ``blockBytes``.
    public var logicalBytes: UInt64
    /// Size of a segment in bytes; a power of two, 64 KiB to 64 MiB. `nil`: 4 MiB, and more for volumes beyond 1 TiB, so
    /// that the segment table stays below some 9 MiB.
    public var segmentBytes: Int?
    /// Space beyond the logical size, in per mille of it, for the cleaner and what commits hold.
    public var sparePerMille: Int = 100
    /// How much history to keep.
    public var history = HistoryPolicy.none
    /// How everything on the volume is sealed, for its whole life.
    public var cipher: CipherSuite = .aes256GCM
    /// How far the anchor may lag; a writer's options may say otherwise. `nil`: as the anchor prefers.
    public var anchorPolicy: AnchorPolicy?
    public init(logicalBytes: UInt64) { self.logicalBytes = logicalBytes }
}

/// How a volume is opened.
public enum OpenMode: Sendable, Hashable {
    case readWrite
    case readOnly
    /// Read-only, as of an earlier commit that the chain still holds.
    case readOnlyAt(SequenceNumber)
    /// Read-only, as of a snapshot.
    case snapshot(SnapshotName)
}

/// How an opened device behaves.
public struct DeviceOptions: Sendable {
    /// Who writes checkpoints.
    public enum Maintenance: Sendable {
        /// A thread of the device's own.
        case background
        /// The caller that waits for a commit: the same calls always lead to the same host writes.
        case inline
    }
    public var maintenance: Maintenance = .background
    /// Memory for record tags, in bytes.
    public var tagCacheBytes = 16 << 20
    /// Memory for pages of the map, in bytes. Pages that changed since the last checkpoint stay in memory: when they fill half
    /// of it the device asks for a commit, when they fill it, writes fail with ``DeviceError/commitRequired``. A volume of
    /// up to 512 times as many bytes keeps its whole map.
    public var mapCacheBytes = 64 << 20
    /// Log bytes between two checkpoints; `nil`: 64 MiB, or a sixteenth of a volume smaller than 1 GiB.
    public var checkpointIntervalBytes: Int?
    /// Open a volume that was used with an anchor although none is given, or an unused one, which is taken up: freshness is
    /// then not checked.
    public var acceptsMissingAnchor = false
    /// Milliseconds since the epoch, for commit times.
    public var clock: @Sendable () -> UInt64 = systemMilliseconds
    /// How far the anchor may lag from now on; `nil`: as the volume says, or as an anchor that it takes up now prefers. Stored with the next checkpoint. Time bounds
    /// need ``Maintenance/background``: inline, only calls move the anchor.
    public var anchorPolicy: AnchorPolicy?
    /// Give the host back the space of segments that hold nothing any more, beyond those that are soon written again: done
    /// by maintenance, after checkpoints. The host then sees how much of the volume is in use, and history reaches back
    /// no further than its policy asks for.
    public var returnsFreeSpace = false
    /// Read everything past the host's cache: for whoever wants to know what is stored.
    package var readsPastCache = false
    /// Records that stay readable from memory when the host has them, at least; 0: what the host has is read from it. Whoever
    /// appends and syncs, a part of a block at a time, reads back what was just written.
    package var recentRecords = 4
    /// How the cleaner chooses: by age and emptiness, or by emptiness alone.
    package var weighsAge = true
    /// Make the segment table anew from the map: for repair.
    package var rebuildsSegmentTable = false
    /// Blocks after which the next commit changes the epoch, so that no key seals too much.
    public var epochBlockLimit: UInt64 = 1 << 32
    /// Milliseconds of a clock that never goes back, for ages.
    public var monotonicClock: @Sendable () -> UInt64 = monotonicMilliseconds
    public init() {}
}

/// Facts found while opening.
struct OpenFacts: Sendable {
    /// Superblock copies that are damaged.
    var damagedSuperblocks: [Int] = []
    /// Superblock copies whose authenticator is under an older volume key.
    var staleSuperblocks: [Int] = []
    /// Root slots that did not verify.
    var damagedRoots: [Int] = []
    /// Of those, what this opening has written anew.
    var areCopiesHealed = false
    /// Key slots whose checksum fails.
    var damagedKeySlots: [Int] = []
    /// The key slot that opened the volume.
    var usedKeySlot = 0
    var keySlots: [KeySlotStatus] = []
    var keySlotDigests: [Tag] = []
    /// Where this opening's branch begins.
    var recoveredFrom = Root.Commit(sequence: SequenceNumber(0), tag: .zero)
    /// Records after the last commit that recovery gave up.
    var cutRecords = 0
}
