/// What is kept although nobody has it in use: named snapshots, and as much history as the policy asks for.
struct Retention {
    /// In the order of their making.
    var snapshots: [SnapshotEntry] = []
    /// Where the list is stored.
    var snapshotPages: [PagePointer] = []
    /// The list, or the place of one of its pages, must be written anew.
    var isChanged = false
    var policy = HistoryPolicy.none

    init() {}

    init(_ root: Root, _ snapshots: [SnapshotEntry]) {
        self.snapshots = snapshots
        snapshotPages = root.snapshotPages
        policy = root.historyPolicy
    }
}
