/// Where the log stands: what the monitor guards beside map and segment table.
struct LogState {
    /// One stream: where its next record goes, and the records that are not sealed yet, in the order of their places.
    struct Stream {
        var at: LogPosition
        var generation: Generation
        var next: SegmentReference
        /// Closed records that wait for their slots to be published.
        var queue: [RecordBuffer] = []
        var open: RecordBuffer?
        /// The segment was entered for a commit although data could not have had another.
        var isForCommits = false

        /// Where the next record to be sealed begins.
        var firstUnsealed: LogPosition { queue.first?.base ?? open?.base ?? at }
        var firstUnsealedGeneration: Generation { queue.first?.generation ?? open?.generation ?? generation }
        var firstUnsealedNext: SegmentReference { queue.first?.next ?? open?.next ?? next }
        var isDrained: Bool { queue.isEmpty && open == nil }
    }

    var epoch: Epoch
    var epochIndex: UInt32
    var streams: [Stream] = []
    /// The last sealed record.
    var last: Root.Commit
    /// The last commit record among them.
    var lastCommit: Root.Commit
    /// Every record up to here is durable (I5).
    var durable: SequenceNumber
    /// Sealed records that are not known written, in the order of their sequence.
    var inFlight: [RecordBuffer] = []
    /// Ordered commits that are not acknowledged, oldest first.
    var ordered: [Root.Commit] = []
    /// The last acknowledged commit: durable, and confirmed by the anchor.
    var acknowledged: Root.Commit
    /// What the anchor holds, as far as we know; `nil` without one.
    var anchored: Root.Commit?
    /// How far the anchor may lag, and how far it does.
    var anchorPolicy = AnchorPolicy.everyCommit
    /// Whether the anchor asks for no older volume key's; they may go.
    var isAnchorSettled = true
    var exposure = AnchorExposure()
    /// A new volume key that waits for the client's next commit.
    var rotation: PreparedRotation?
    /// The volume keys before the present one, as roots keep them, and the first commit under the present one.
    var olderKeys: [SealedVolumeKey] = []
    var keySince = SequenceNumber(0)
    /// Blocks sealed in this epoch.
    var blocksInEpoch: UInt64 = 0
    /// A checkpoint is worth writing although little was written.
    var checkpointWanted = false
    /// The next checkpoint is to reach both root slots.
    var bothRootsWanted = false
    /// The key slot digests that each root slot binds.
    var boundDigests: [[Tag]] = [[], []]
    /// Discards that wait to become a record.
    var discards: [RecordEntry] = []
    /// Something changed since the last commit was ordered.
    var hasUncommitted = false
    /// … and the client did it, not the cleaner: only the client may commit it (I9).
    var hasClientChanges = false
    /// A commit or a discard is taking the user stream's order: no slots are given out meanwhile.
    var hasBarrier = false
    /// Somebody flushes for all.
    var isFlushing = false
    /// Segments are short, and a commit would release some.
    var commitWanted = false
    /// How many checkpoints there had been when data last got a segment.
    var checkpointsAtDataSegment: UInt64 = 0
    /// The host gave no space when last asked.
    var hostIsFull = false
    /// Counts segments as they are taken; orders places within a stream.
    var segmentOrder: UInt64 = 0
    /// No commit before this one is whole any more.
    var historyHorizon: SequenceNumber
    /// Log blocks since the last checkpoint froze.
    var blocksSinceCheckpoint = 0
    /// What each root slot holds.
    var roots: [SlotContents]
    /// The number that both slots have at least, durably.
    var rootFloor: UInt64 { min(roots[0].number, roots[1].number) }
    /// The newest root's copy in the log.
    var rootCopy: Root.Previous?
    var recoveredFrom: Root.Commit
    var epochPages: [PagePointer] = []
    var epochsChanged = true
    var retention = Retention()
    /// A strict policy keeps the best segment from being taken.
    var isHistoryInTheWay = false
    var sparePerMille: UInt32 = 0
    /// Blocks that the log took in all its life.
    var logBlocks: UInt64 = 0
    /// Records that the host has, oldest first: what is in them can be read until their buffers are used again.
    private(set) var retired: [RecordBuffer] = []
    /// Where buffers of new records come from.
    var shelf = LargeBufferShelf()
    var counters = DeviceCounters()

    /// What a root slot holds, as far as reuse of segments asks.
    struct SlotContents {
        /// 0 for nothing.
        var number: UInt64 = 0
        var commit: SequenceNumber
        var historyHorizon = SequenceNumber(0)

        /// Nothing that verifies; `commit` is the one that would be needed of it.
        init(nothingBefore commit: SequenceNumber) { self.commit = commit }

        init(_ root: Root) {
            (number, commit, historyHorizon) = (root.number, root.commit.sequence, root.historyHorizon)
        }
    }

    /// The host has the record.
    mutating func retire(_ record: RecordBuffer) {
        if retired.count < 16 { retired.append(record) }
    }

    /// The buffer of the oldest record that nobody reads, when there are more than `kept`.
    mutating func takeRetired(keeping kept: Int) -> RecordBuffer? {
        guard retired.count > kept, let index = retired.firstIndex(where: { $0.readers == 0 }) else { return nil }
        return retired.remove(at: index)
    }

    /// The commit of the older root: nothing after it may be lost (I7).
    var olderRootCommit: SequenceNumber {
        min(roots[0].commit, roots[1].commit)
    }
}

/// What the device did since it was opened.
public struct DeviceCounters: Sendable, Hashable {
    /// Blocks written by clients.
    public var clientBlocks: UInt64 = 0
    /// Blocks sent to the host in records, headers included.
    public var logBlocks: UInt64 = 0
    /// Blocks moved by the cleaner.
    public var relocatedBlocks: UInt64 = 0
    public var flushes: UInt64 = 0
    public var commits: UInt64 = 0
    public var checkpoints: UInt64 = 0
    /// Segments that the cleaner emptied.
    public var cleanedSegments: UInt64 = 0
    public init() {}

    /// Blocks that went to the host for each block that clients wrote; `nil` before the first.
    public var writeAmplification: Double? {
        clientBlocks == 0 ? nil : Double(logBlocks) / Double(clientBlocks)
    }
}
