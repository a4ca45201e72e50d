/// The state of every segment, all in memory: 32 bytes for each segment stored, 64 more of what only this run knows.
///
/// What the device asks of it many times a second takes no walk over all segments: which can be taken
/// (`SegmentTable+Reuse`), which the cleaner should empty (`SegmentTable+Victims`), which pages a checkpoint must write
/// (`SegmentTable+Pages`) are kept as they change, and ``checkInvariants()`` holds each against a walk.
///
/// Not thread-safe: the device's monitor guards it. Its fields are not checked for overlapping accesses at run time: each block
/// written touches most of them.
final class SegmentTable {
    /// Why a segment must not be taken whatever is in it.
    struct Keep: OptionSet {
        let rawValue: UInt8
        /// A snapshot that is being made needs it.
        static let snapshot = Keep(rawValue: 1)
        /// It is to be cut off, or not yet in both roots.
        static let resize = Keep(rawValue: 2)
    }

    /// What of a segment is in memory only.
    struct Volatile {
        /// Reads under way.
        var readers: UInt32 = 0
        /// Records whose blocks must be read from memory.
        var recordsInMemory: UInt32 = 0
        /// Pages of the segment table and the epoch table, as they are now.
        var pages: UInt32 = 0
        /// A stream writes it, or has announced it.
        var isHeld = false
        /// The host has given the segment's space.
        var isBacked = false
        /// … before this opening; it may have been given back since.
        var isBackingAssumed = false
        /// How often the cleaner left something behind in it.
        var failedEvacuations: UInt8 = 0
        /// The cleaner has been here: not again before the commit or root it waits for.
        var isDeferred = false
        /// When in this run it was taken, counted from 1; 0 for before.
        var order: UInt64 = 0
        /// The commit whose checkpoint last moved a page of segment or epoch table out of here.
        var pagesDiedAt = SequenceNumber(0)
        /// A root needs what is in it that neither counts nor records tell of, until both slots have this commit.
        var neededUntil = SequenceNumber(0)
        var keep: Keep = []
        /// Nothing more is written to it in this use.
        var isSettled: Bool { !isHeld && recordsInMemory == 0 }

        // Its place in the structures of `SegmentTable+Reuse` and `SegmentTable+Victims`.
        var phase = Phase.busy
        var queuedKey: UInt64 = 0
        var isQueuedBacked = false
        /// Tells the one valid entry of a queue from those left behind.
        var stamp: UInt32 = 0
        var victimClass = Victims.noClass
        var next = Victims.none
        var previous = Victims.none

        /// In no queue and no list.
        mutating func leaveAll() {
            (phase, queuedKey, isQueuedBacked, stamp) = (.busy, 0, false, 0)
            (victimClass, next, previous) = (Victims.noClass, Victims.none, Victims.none)
        }
    }

    @exclusivity(unchecked) private(set) var count: Int
    let segmentBlocks: Int
    // SAFETY: `count` elements each, owned by this object; indices are segment numbers checked against `count`.
    @exclusivity(unchecked) private(set) var entries: UnsafeMutablePointer<SegmentEntry>
    @exclusivity(unchecked) private(set) var volatile: UnsafeMutablePointer<Volatile>
    /// The highest generation of the segments that were cut off in this run: those that come in their place go on from
    /// there, as the epoch, and so the key, is the same (I1).
    var cutGeneration = Generation(0)
    @exclusivity(unchecked) var reuse = Reuse()
    @exclusivity(unchecked) var victims = Victims()
    @exclusivity(unchecked) var pages: Pages
    /// The pages of this table on the volume.
    private(set) var tree: PageTree
    /// Live blocks of data, and pages of the map.
    @exclusivity(unchecked) private(set) var liveData: UInt64 = 0
    @exclusivity(unchecked) private(set) var livePages: UInt64 = 0
    @exclusivity(unchecked) private(set) var neverUsed: Int
    /// Pages of the segment table and the epoch table.
    var tablePages = 0

    init(count: Int, segmentBlocks: Int, tree: PageTree? = nil) {
        self.count = count
        self.segmentBlocks = segmentBlocks
        entries = .allocate(capacity: count)
        entries.initialize(repeating: SegmentEntry(), count: count)
        volatile = .allocate(capacity: count)
        volatile.initialize(repeating: Volatile(), count: count)
        neverUsed = count
        pages = Pages(count: Self.pageCount(segments: count))
        self.tree = tree ?? PageTree(kind: .tablePage, leafCount: Self.pageCount(segments: count))
        indexAll()
    }

    deinit {
        entries.deallocate()
        volatile.deallocate()
    }

    @inline(__always)
    subscript(segment: UInt32) -> SegmentEntry {
        get {
            precondition(segment < count)
            return entries[Int(segment)]
        }
        set {
            precondition(segment < count)
            willChange(segment)
            replace(segment, newValue)
        }
    }

    /// Changes an entry and all that is kept of it, but for the pages that the next checkpoint writes.
    @inline(__always)
    func replace(_ segment: UInt32, _ entry: SegmentEntry) {
        count(entries[Int(segment)], -1)
        entries[Int(segment)] = entry
        count(entry, 1)
        index(segment)
    }

    /// What only this run knows of a segment. Changes go through the calls below.
    @inline(__always)
    subscript(volatile segment: UInt32) -> Volatile {
        precondition(segment < count)
        return volatile[Int(segment)]
    }

    @inline(__always)
    private func count(_ entry: SegmentEntry, _ sign: Int) {
        if entry.state == .neverUsed { neverUsed += sign }
        if entry.stream == .meta {
            livePages = UInt64(bitPattern: Int64(bitPattern: livePages) + Int64(sign) * Int64(entry.live))
        } else {
            liveData = UInt64(bitPattern: Int64(bitPattern: liveData) + Int64(sign) * Int64(entry.live))
        }
    }

    @inline(__always)
    func gainLive(_ segment: UInt32, count: UInt32 = 1) { self[segment].live += count }

    /// So many live blocks of `segment` died with record `sequence`.
    /// - Returns: `false` when the segment had fewer: table and map disagree.
    @inline(__always)
    func loseLive(_ segment: UInt32, _ sequence: SequenceNumber, count: UInt32 = 1) -> Bool {
        var entry = self[segment]
        guard entry.live >= count else { return false }
        entry.live -= count
        if entry.lastDeath < sequence { entry.lastDeath = sequence }
        self[segment] = entry
        return true
    }

    /// Once the segment is taken into use again, no root before this commit is whole.
    func historyEnd(_ segment: UInt32) -> SequenceNumber {
        let entry = self[segment]
        guard entry.state != .neverUsed else { return SequenceNumber(0) }
        return max(entry.lastDeath, entry.lastRecord, volatile[Int(segment)].pagesDiedAt)
    }

    /// A stream begins with a segment, or leaves it.
    func setHeld(_ segment: UInt32, _ isHeld: Bool) { change(segment) { $0.isHeld = isHeld } }
    func addReader(_ segment: UInt32) { change(segment) { $0.readers += 1 } }
    func removeReader(_ segment: UInt32) { change(segment) { $0.readers -= 1 } }
    func recordBegan(_ segment: UInt32) { change(segment) { $0.recordsInMemory += 1 } }
    func recordRetired(_ segment: UInt32) { change(segment) { $0.recordsInMemory -= 1 } }

    /// The host gave the segment's space, or has none for it.
    func setBacked(_ segment: UInt32, _ isBacked: Bool) {
        change(segment) {
            $0.isBacked = isBacked
            $0.isBackingAssumed = false
        }
    }

    /// Notes that a segment was taken as the `order`th of this run.
    func taken(_ segment: UInt32, order: UInt64) {
        change(segment) {
            $0.isHeld = true
            $0.order = order
            $0.failedEvacuations = 0
        }
    }

    func keep(_ segment: UInt32, _ keep: Keep) { change(segment) { $0.keep.insert(keep) } }

    /// Ends a reason everywhere.
    func release(_ keep: Keep) {
        for segment in 0..<UInt32(count) where volatile[Int(segment)].keep.contains(keep) {
            change(segment) { $0.keep.remove(keep) }
        }
    }

    /// Keeps the segment, come what may of its contents, until both slots have a root of `commit` or later.
    func need(_ segment: UInt32, until commit: SequenceNumber) {
        change(segment) { $0.neededUntil = max($0.neededUntil, commit) }
    }

    @inline(__always)
    func change(_ segment: UInt32, _ body: (inout Volatile) -> Void) {
        precondition(segment < count)
        body(&volatile[Int(segment)])
        index(segment)
    }

    /// Brings the segment's places in all structures up to date with its state.
    @inline(__always)
    func index(_ segment: UInt32) {
        indexReuse(segment)
        indexVictim(segment)
    }

    /// As ``index(_:)``, for all: after the table was read.
    func indexAll() {
        for segment in 0..<UInt32(count) { index(segment) }
    }

    /// Fills in an entry as it is stored. Call ``indexAll()`` when all are.
    func restore(_ entry: SegmentEntry, of segment: Int) {
        count(entries[segment], -1)
        entries[segment] = entry
        count(entry, 1)
        volatile[segment].isBacked = entry.state != .neverUsed
        volatile[segment].isBackingAssumed = volatile[segment].isBacked
    }

    /// Takes another number of segments. Those that are new are kept until ``release(_:)``; of those that are cut off nothing
    /// may be needed any more. No checkpoint is under way.
    /// - Returns: stored pages of the table that are no more.
    func resize(count next: Int, keepingNew keep: Keep) -> [PagePointer] {
        precondition(!pages.isFrozen, "pages that a checkpoint writes keep their numbers")
        for segment in min(next, count)..<count {
            precondition(isPastNeed(UInt32(segment)), "segment \(segment) is needed")
            if !Sabotage.isOn(.cutForgetsGenerations) {
                cutGeneration = max(cutGeneration, entries[segment].generation)
            }
            count(entries[segment], -1)
        }
        neverUsed += max(next - count, 0)
        // SAFETY: `kept` elements are copied, which are trivial, and the others made.
        let kept = min(next, count)
        let newEntries = UnsafeMutablePointer<SegmentEntry>.allocate(capacity: next)
        newEntries.initialize(from: entries, count: kept)
        (newEntries + kept).initialize(repeating: SegmentEntry(), count: next - kept)
        let newVolatile = UnsafeMutablePointer<Volatile>.allocate(capacity: next)
        for segment in 0..<next {
            var state = segment < kept ? volatile[segment] : Volatile()
            if segment >= kept { state.keep = keep }
            state.leaveAll()
            (newVolatile + segment).initialize(to: state)
        }
        entries.deallocate()
        volatile.deallocate()
        (entries, volatile, count) = (newEntries, newVolatile, next)
        var reuse = Reuse()
        (reuse.durable, reuse.olderRoot) = (self.reuse.durable, self.reuse.olderRoot)
        self.reuse = reuse
        let resting = victims.deferred
        victims = Victims()
        victims.deferred = resting.filter { Int($0.segment) < next }
        indexAll()
        resizePages(wasCut: next == kept)
        return tree.resize(leafCount: Self.pageCount(segments: next))
    }

    func setTreePointer(_ pointer: PagePointer, level: Int, index: Int) {
        tree.set(pointer, level: level, index: index)
    }
}
