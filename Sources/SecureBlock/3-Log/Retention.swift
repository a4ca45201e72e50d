/// What is kept although nobody has it in use: named snapshots, and as much history as the policy asks for.
struct Retention {
    /// A root that was written: the state of a commit, and all commits up to the next root, are reached from it.
    struct Mark: Hashable {
        var commit: SequenceNumber
        var timeMilliseconds: UInt64
        /// What the log had taken in all its life up to the commit.
        var logBlocks: UInt64

    }

    /// In the order of their making.
    var snapshots: [SnapshotEntry] = []
    /// Where the list is stored.
    var snapshotPages: [PagePointer] = []
    /// The list, or the place of one of its pages, must be written anew.
    var isChanged = false
    var policy = HistoryPolicy.none
    /// Roots within the policy's range and one before it, oldest first; none without a policy.
    private(set) var marks: [Mark] = []

    init() {}

    init(_ root: Root, _ snapshots: [SnapshotEntry]) {
        self.snapshots = snapshots
        snapshotPages = root.snapshotPages
        policy = root.historyPolicy
    }

    /// Takes over a policy.
    /// - Parameter marks: the roots that can be reached, oldest first.
    mutating func adopt(_ policy: HistoryPolicy, _ marks: [Mark]) {
        self.policy = policy
        self.marks = policy.isNone ? [] : marks
    }

    /// A root was written.
    mutating func note(_ mark: Mark) {
        guard !policy.isNone, marks.last?.commit != mark.commit else { return }
        marks.append(mark)
    }

    /// The commit from which on the policy keeps everything; `nil` when it asks for nothing.
    ///
    /// It is the newest root's at or before the point in time, and in the log, that the policy names. While none is that
    /// old, all there is is kept.
    mutating func kept(now: UInt64, logBlocks: UInt64) -> SequenceNumber? {
        guard !policy.isNone else { return nil }
        var first = marks.count
        if policy.seconds > 0 {
            let limit = now - min(now, policy.seconds * 1000)
            first = min(first, marks.lastIndex { $0.timeMilliseconds <= limit } ?? -1)
        }
        if policy.bytes > 0 {
            let limit = logBlocks - min(logBlocks, policy.bytes / UInt64(blockBytes))
            first = min(first, marks.lastIndex { $0.logBlocks <= limit } ?? -1)
        }
        guard first >= 0, first < marks.count else { return SequenceNumber(0) }
        // What lies before is asked for no more, unless the clock goes back.
        marks.removeFirst(first)
        return marks[0].commit
    }
}

extension Retention.Mark {
    init(_ root: Root) {
        self.init(
            commit: root.commit.sequence, timeMilliseconds: root.timeMilliseconds, logBlocks: root.logBlocks)
    }
}
