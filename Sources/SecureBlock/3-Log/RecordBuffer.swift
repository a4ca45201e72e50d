/// A record being filled, sealed, or on its way to the host: its blocks as they will be stored, and what the header
/// will say of them.
///
/// Fields other than the blocks themselves are guarded by the device's monitor. Those that every block touches are not checked
/// for overlapping accesses at run time, which costs as much as what is done with them.
final class RecordBuffer {
    let blocks: AlignedBuffer
    let capacity: Int
    @exclusivity(unchecked) private(set) var stream: StreamID = .user
    @exclusivity(unchecked) private(set) var base = LogPosition(segment: 0, block: 0)
    @exclusivity(unchecked) private(set) var generation = Generation(0)
    private(set) var epochIndex: UInt32 = 0
    /// Where the stream goes on when this record's segment ends (I4).
    private(set) var next = SegmentReference(segment: 0, generation: Generation(0))
    /// Data blocks this record may take: the segment's end may come before the buffer's.
    @exclusivity(unchecked) private(set) var limit = 0

    @exclusivity(unchecked) var entries: [RecordEntry?] = []
    /// What each block replaces: the map's entry before it, its own for one that was replaced before it was published.
    @exclusivity(unchecked) var replaced: [MapEntry] = []
    /// Slots reserved and not yet published (I2).
    @exclusivity(unchecked) var pending = 0
    /// No more slots are given out.
    @exclusivity(unchecked) var isClosed = false
    @exclusivity(unchecked) var flags: RecordHeader.Flags = []
    var sequence = SequenceNumber(0)
    /// Under way to the host once sealed.
    @exclusivity(unchecked) var write: HostWrite?
    /// How often the write failed.
    var attempts = 0
    /// The write itself makes its bytes durable.
    var isDurableWrite = false
    /// Reads that use the blocks outside the monitor.
    @exclusivity(unchecked) var readers = 0

    /// Sealed, written, and the host said so.
    var hasSucceeded: Bool {
        guard let write, write.isComplete else { return false }
        do throws(HostError) {
            try write.wait()
            return true
        } catch { return false }
    }

    /// - Parameter capacity: data blocks it can hold at most.
    init(capacity: Int, from shelf: inout LargeBufferShelf) {
        self.capacity = capacity
        blocks = shelf.buffer(byteCount: (capacity + 1) * blockBytes)
        entries.reserveCapacity(capacity)
        replaced.reserveCapacity(capacity)
    }

    /// Makes the buffer a new, empty record at `base`.
    func begin(
        _ stream: StreamID, at base: LogPosition, _ generation: Generation, epochIndex: UInt32,
        next: SegmentReference, segmentBlocks: Int
    ) {
        self.stream = stream
        self.base = base
        self.generation = generation
        self.epochIndex = epochIndex
        self.next = next
        limit = min(capacity, segmentBlocks - Int(base.block) - 1)
        entries.removeAll(keepingCapacity: true)
        replaced.removeAll(keepingCapacity: true)
        pending = 0
        isClosed = false
        flags = []
        sequence = SequenceNumber(0)
        write = nil
        attempts = 0
        isDurableWrite = false
    }

    var slots: Int { entries.count }
    /// Blocks after the header: none in a discard record.
    var dataBlocks: Int { flags.contains(.discard) ? 0 : entries.count }
    var room: Int { limit - entries.count }

    /// Gives out `count` slots; the caller seals into them and publishes them.
    func reserve(_ count: Int) -> Int {
        precondition(count <= room && !isClosed)
        let first = entries.count
        for _ in 0..<count {
            entries.append(nil)
            replaced.append(.none)
        }
        pending += count
        return first
    }

    /// Where the sealed bytes of `slot` go.
    func bytes(slot: Int) -> UnsafeMutableRawBufferPointer { blocks.slice((slot + 1) * blockBytes, blockBytes) }

    /// The position of `slot`'s block.
    func position(slot: Int) -> LogPosition {
        LogPosition(segment: base.segment, block: base.block + 1 + UInt32(slot))
    }

    func contains(_ position: LogPosition) -> Bool {
        position.segment == base.segment && position.block > base.block
            && position.block <= base.block + UInt32(dataBlocks)
    }

    /// The whole record as it is stored.
    var stored: UnsafeRawBufferPointer { UnsafeRawBufferPointer(blocks.slice(0, (dataBlocks + 1) * blockBytes)) }
}
