/// The state of every segment, all in memory: 32 bytes for each 4 MiB.
///
/// Not thread-safe: the device's monitor guards it.
final class SegmentTable {
    /// Why a segment must not be taken although nothing in it is live (I7).
    struct Hold: OptionSet {
        let rawValue: UInt8
        /// Pages of the root in slot A, or in slot B, are in it.
        static let rootA = Hold(rawValue: 1)
        static let rootB = Hold(rawValue: 2)
        /// A stream writes it, or has announced it.
        static let stream = Hold(rawValue: 4)
        static func root(slot: Int) -> Hold { slot == 0 ? .rootA : .rootB }
    }

    /// What of a segment is in memory only.
    struct Volatile {
        var holds: Hold = []
        /// Reads under way.
        var readers: UInt32 = 0
        /// Records whose blocks must be read from memory.
        var recordsInMemory: UInt32 = 0
        /// When in this run it was taken, counted from 1; 0 for before.
        var order: UInt64 = 0
        /// The host has given the segment's space in this run, although it was never used.
        var isBacked = false
        /// How often the cleaner left something live behind, and after which record it last did.
        var evacuations = 0
        var evacuatedAt = SequenceNumber(0)
    }

    let count: Int
    // SAFETY: `count` elements each, owned by this object; indices are segment numbers checked against the geometry.
    private let entries: UnsafeMutablePointer<SegmentEntry>
    private let volatile: UnsafeMutablePointer<Volatile>
    private var dirtyPages: [Bool]
    private(set) var tree: PageTree

    init(count: Int, tree: PageTree? = nil) {
        self.count = count
        entries = .allocate(capacity: count)
        entries.initialize(repeating: SegmentEntry(), count: count)
        volatile = .allocate(capacity: count)
        volatile.initialize(repeating: Volatile(), count: count)
        let pages = Self.pageCount(segments: count)
        dirtyPages = Array(repeating: false, count: pages)
        self.tree = tree ?? PageTree(kind: .tablePage, leafCount: pages)
    }

    deinit {
        entries.deallocate()
        volatile.deallocate()
    }

    static func pageCount(segments: Int) -> Int {
        (segments + SegmentEntry.perPage - 1) / SegmentEntry.perPage
    }

    /// Reads the table that `top` points to.
    static func load(_ top: [PagePointer], _ context: VolumeContext) throws(VolumeError) -> SegmentTable {
        let count = Int(context.geometry.segmentCount)
        let tree = try PageTree.load(
            kind: .tablePage, leafCount: pageCount(segments: count), top: top, context)
        let table = SegmentTable(count: count, tree: tree)
        for index in tree.leaves.indices where tree.leaf(index).exists {
            let page = try context.page(tree.leaf(index), BlockAssociation(.tablePage, address: UInt64(index)))
            var reader = ByteReader(UnsafeRawBufferPointer(page.bytes))
            let start = index * SegmentEntry.perPage
            do throws(ParseError) {
                for segment in start..<min(start + SegmentEntry.perPage, count) {
                    table.entries[segment] = try SegmentEntry(parsing: &reader)
                }
            } catch { throw .corrupt("segment table page \(index): \(error)") }
        }
        return table
    }

    @inline(__always)
    subscript(segment: UInt32) -> SegmentEntry {
        get {
            precondition(segment < count)
            return entries[Int(segment)]
        }
        set {
            precondition(segment < count)
            entries[Int(segment)] = newValue
            dirtyPages[Int(segment) / SegmentEntry.perPage] = true
        }
    }

    @inline(__always)
    subscript(volatile segment: UInt32) -> Volatile {
        get {
            precondition(segment < count)
            return volatile[Int(segment)]
        }
        set {
            precondition(segment < count)
            volatile[Int(segment)] = newValue
        }
    }

    @inline(__always)
    func gainLive(_ segment: UInt32) { self[segment].live += 1 }

    /// A live block of `segment` died with record `sequence`.
    /// - Returns: `false` when the segment had none: table and map disagree.
    @inline(__always)
    func loseLive(_ segment: UInt32, _ sequence: SequenceNumber) -> Bool {
        var entry = self[segment]
        guard entry.live > 0 else { return false }
        entry.live -= 1
        if entry.lastDeath < sequence { entry.lastDeath = sequence }
        self[segment] = entry
        return true
    }

    /// Whether the segment's blocks, records and pages are all past need (I7).
    func isReusable(_ segment: UInt32, durable: SequenceNumber, olderRoot: SequenceNumber) -> Bool {
        let entry = entries[Int(segment)], state = volatile[Int(segment)]
        return entry.state != .damaged && entry.live == 0 && entry.pins == 0 && state.holds.isEmpty
            && state.readers == 0
            && state.recordsInMemory == 0 && entry.lastDeath <= durable && entry.lastRecord <= olderRoot
            && entry.generation.rawValue < UInt32.max
    }

    /// Whether the host has already given the segment's space.
    func isBacked(_ segment: UInt32) -> Bool {
        entries[Int(segment)].state != .neverUsed || volatile[Int(segment)].isBacked
    }

    /// What could be taken now.
    struct Candidates {
        /// A fresh segment first, then the one whose history is oldest.
        var best: UInt32?
        var reusable = 0
        /// The same among segments whose space the host has given.
        var bestBacked: UInt32?
        var backed = 0
        /// Some segments whose space it has not, in order.
        var unbacked: [UInt32] = []
    }

    func candidates(durable: SequenceNumber, olderRoot: SequenceNumber) -> Candidates {
        var found = Candidates()
        var bestKey = UInt64.max, bestBackedKey = UInt64.max
        for index in 0..<UInt32(count)
        where isReusable(index, durable: durable, olderRoot: olderRoot) {
            found.reusable += 1
            let entry = entries[Int(index)]
            let key = entry.state == .neverUsed ? 0 : max(entry.lastDeath, entry.lastRecord).rawValue + 1
            if key < bestKey {
                bestKey = key
                found.best = index
            }
            if isBacked(index) {
                found.backed += 1
                if key < bestBackedKey {
                    bestBackedKey = key
                    found.bestBacked = index
                }
            } else if found.unbacked.count < 8 {
                found.unbacked.append(index)
            }
        }
        return found
    }

    /// Takes all pages changed since the last freeze, in their stored form.
    func freeze() -> [(page: Int, bytes: AlignedBuffer)] {
        var frozen: [(page: Int, bytes: AlignedBuffer)] = []
        for page in dirtyPages.indices where dirtyPages[page] {
            dirtyPages[page] = false
            let buffer = AlignedBuffer(byteCount: blockBytes)
            var writer = ByteWriter(buffer.bytes)
            let start = page * SegmentEntry.perPage
            for segment in start..<min(start + SegmentEntry.perPage, count) {
                entries[segment].write(to: &writer)
            }
            frozen.append((page, buffer))
        }
        return frozen
    }

    /// Pages changed since the last freeze.
    var dirtyCount: Int { dirtyPages.count { $0 } }

    /// Has the next checkpoint write the page again, elsewhere.
    func touch(page: Int) { dirtyPages[page] = true }

    func setPointer(_ pointer: PagePointer, level: Int, index: Int) {
        tree.set(pointer, level: level, index: index)
    }

    /// Moves the hold of one root slot to the segments in `pinned`.
    func replaceHold(_ hold: Hold, with pinned: Set<UInt32>) {
        for segment in 0..<count {
            if pinned.contains(UInt32(segment)) {
                volatile[segment].holds.insert(hold)
            } else {
                volatile[segment].holds.remove(hold)
            }
        }
    }

    func checkInvariants() {
        tree.checkInvariants()
        for segment in 0..<count where entries[segment].state == .neverUsed {
            precondition(entries[segment].live == 0 && entries[segment].generation.rawValue == 0)
            precondition(entries[segment].pins == 0)
        }
    }
}
