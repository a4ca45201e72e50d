/// What a salvage found, brought back, and had to give up.
public struct SalvageReport: Sendable {
    /// What the anchor says of the state that was brought back.
    public enum Freshness: Sendable, Hashable {
        /// No anchor was given: an older copy of the volume passes unseen.
        case unknown
        /// The state is the anchor's commit or a later one on its line.
        case anchored
        /// The anchor names a later commit: what was acknowledged after is missing, by damage or by rollback.
        case behind(anchor: SequenceNumber)
        /// The anchor's commit is not among the records, or on another branch.
        case notFound(anchor: SequenceNumber)
    }

    /// Where the map came from.
    public enum Base: Sendable, Hashable {
        case rootSlot(SequenceNumber)
        /// A root's copy in the log.
        case rootCopy(SequenceNumber)
        /// Pages and records alone.
        case none
    }

    /// Records of an epoch that does not belong to the state.
    public struct Branch: Sendable, Hashable {
        public var epoch: Tag
        public var records: UInt64
        public var first: SequenceNumber
        public var last: SequenceNumber
        public var lastMilliseconds: UInt64
    }

    public enum Reason: String, Sendable, Hashable {
        /// The place is known, and the record header there does not verify or is another one.
        case header
        /// The record is there, and the block does not verify or cannot be read.
        case data
        /// Nothing says where the block is, and nothing proves that it was empty.
        case unknown
    }

    public struct Lost: Sendable, Hashable {
        public var first: LogicalBlock
        public var count: UInt64
        public var reason: Reason
    }

    public var volume: VolumeIdentifier
    public var hadSuperblock: Bool
    public var segmentBytes: Int
    public var logicalBytes: UInt64
    public var isSizeKnown: Bool
    public var freshness = Freshness.unknown
    public var base = Base.none
    /// The state that was brought back.
    public var commit = SequenceNumber(0)
    public var commitMilliseconds: UInt64 = 0
    /// The newest record of the line, whether it counts or not.
    public var newestRecord = SequenceNumber(0)
    public var headers: UInt64 = 0
    public var epochs = 0
    /// The order of two epochs is a guess.
    public var isLineInferred = false
    public var branches: [Branch] = []
    /// Sequences up to ``commit`` after the base's commit that are not there: what they changed is unknown. The first
    /// runs, and how many in all.
    public var missingRuns: [ClosedRange<UInt64>] = []
    public var missingRecords: UInt64 = 0
    /// Sequences that two records claim; neither counts as seen.
    public var ambiguousRecords: UInt64 = 0
    public var unreadableHostBlocks: UInt64 = 0
    public var lostMapPages: UInt64 = 0
    public var lostTablePages: UInt64 = 0

    public var recoveredBlocks: UInt64 = 0
    public var lostBlocks: UInt64 = 0
    /// Blocks brought back of which a newer version may have been lost, beside what ``missingRecords`` may have changed.
    public var doubtfulBlocks: UInt64 = 0
    /// The first ``rangeLimit`` of each, ascending.
    public var lost: [Lost] = []
    public var doubtful: [Range<UInt64>] = []
    public static let rangeLimit = 100_000

    /// Nothing was lost and nothing is in doubt, but freshness.
    public var isWhole: Bool {
        lostBlocks == 0 && doubtfulBlocks == 0 && missingRecords == 0 && ambiguousRecords == 0
    }

    mutating func addLost(_ first: LogicalBlock, count: UInt64, _ reason: Reason) {
        lostBlocks += count
        if let last = lost.indices.last, lost[last].reason == reason,
            lost[last].first.rawValue + lost[last].count == first.rawValue
        {
            lost[last].count += count
        } else if lost.count < Self.rangeLimit {
            lost.append(Lost(first: first, count: count, reason: reason))
        }
    }

    mutating func addDoubtful(_ first: LogicalBlock, count: UInt64) {
        doubtfulBlocks += count
        if let last = doubtful.indices.last, doubtful[last].upperBound == first.rawValue {
            doubtful[last] = doubtful[last].lowerBound..<first.rawValue + count
        } else if doubtful.count < Self.rangeLimit {
            doubtful.append(first.rawValue..<first.rawValue + count)
        }
    }
}
