import Synchronization

/// A trusted block device on untrusted storage: an append-only log of sealed blocks whose headers form one MAC chain.
///
///     let host = try FileBlockHost.create(path: "vault")
///     try SecureDevice.create(on: host, VolumeOptions(logicalBytes: 2 << 30), credential: .passphrase(secret))
///     let device = try SecureDevice.open(host, credential: .passphrase(secret), anchor: anchor, mode: .readWrite)
///     try device.write(LogicalBlock(7), buffer)      // visible
///     try device.commit().wait()                     // durable, and named by the anchor
///     try device.close()
///
/// **Fault model.** The host reads, changes, reorders, drops, replays and forks everything outside this process, and
/// the machine stops at any instant. What opens afterwards is the state of exactly one commit, no older than the anchor
/// names; what does not verify is a typed error.
///
/// **Threads.** Any number may call. Sealing, opening and host I/O run outside the one monitor that guards the state
/// below; the monitor is held for bookkeeping only.
public final class SecureDevice: BlockDevice, @unchecked Sendable {
    let context: VolumeContext
    let mode: OpenMode
    let options: DeviceOptions
    let anchor: (any Anchor)?
    let monitor = DeviceMonitor()
    let tagCache: TagCache
    let readAhead = ReadAhead()
    /// What large reads bring from the host, before it is opened to where it is wanted.
    let readBuffers = LargeBufferPool()
    let streamAhead = StreamAhead()
    /// What is true of an opened volume for as long as it is open.
    let facts: OpenFacts

    /// Blocks that clients may name: fewer than the map has while the device shrinks.
    let servedBlocks: Atomic<UInt64>

    // Guarded by `monitor` from here on. What every block touches goes without the run-time check that no two accesses
    // overlap: with it, a write spent a tenth of its time there.

    @exclusivity(unchecked) var map: LogicalMap
    let table: SegmentTable
    @exclusivity(unchecked) var log: LogState
    var checkpoint: Checkpoint?
    var maintenance: HostThread?
    var maintenanceStops = false
    /// Segments are short: the cleaner should look for some.
    var cleaningIsDue = false
    /// The cleaner is at work.
    var isCleaning = false
    /// Blocks that data may take until the cleaner has given back more, while segments are short.
    @exclusivity(unchecked) var cleaningCredit = 0
    /// Few segments have their space on the host: more should get it ahead.
    var backingIsDue = false
    /// Something is sealed under an older volume key, and the last checkpoint is done.
    var resealIsDue = false
    /// A caller writes the checkpoint, or cleans, on its own thread.
    var isMaintaining = false
    /// What the key slots are, and the digests that the next root binds.
    var keySlots: [KeySlotStatus]
    var keySlotDigests: [Tag]
    var isChangingKeys = false
    /// Why writing ended, when it did.
    @exclusivity(unchecked) var latch: String?
    /// Somebody makes or deletes a snapshot, or changes size or history policy: one at a time.
    var isReshaping = false
    /// The map takes another size: nothing may change in it.
    var holdsCleaner = false
    /// How often each snapshot is open through ``openSnapshot(_:)``.
    var openSnapshots: [SnapshotName: Int] = [:]
    /// What closing does with the host, when that belongs to somebody else.
    var onClose: (() -> Void)?
    /// Somebody is in ``close()``.
    var isClosing = false
    var isClosed = false

    init(
        context: VolumeContext, mode: OpenMode, options: DeviceOptions, anchor: (any Anchor)?, facts: OpenFacts,
        map: LogicalMap, table: SegmentTable, log: LogState
    ) {
        self.context = context
        self.mode = mode
        self.options = options
        self.anchor = anchor
        self.facts = facts
        self.map = map
        self.table = table
        self.log = log
        servedBlocks = Atomic(context.geometry.logicalBlocks)
        keySlots = facts.keySlots
        keySlotDigests = facts.keySlotDigests
        tagCache = TagCache(limitBytes: options.tagCacheBytes)
        table.advance(durable: log.acknowledged.sequence, olderRoot: log.olderRootCommit)
    }

    /// Let go of without ``close()``, or never opened to the end: the host may still read from buffers (I13).
    deinit {
        streamAhead.stop()
        for record in log.inFlight { record.write?.waitForCompletion() }
    }

    /// See ``resize(toBlocks:progress:)``.
    public var logicalBlockCount: UInt64 { servedBlocks.load(ordering: .relaxed) }
    public var isReadOnly: Bool { mode != .readWrite }

    /// Whether so much waits for a commit that one should come soon: segments run short, and a commit frees some.
    public var commitWanted: Bool {
        monitor.locked { mode == .readWrite && (log.hasUncommitted && log.commitWanted || log.checkpointWanted) }
    }

    /// The range as it must be: inside the device, in whole blocks.
    func checkedCount(_ first: LogicalBlock, byteCount: Int) throws(DeviceError) -> UInt64 {
        guard byteCount % blockBytes == 0 else { throw .misaligned(byteCount: byteCount) }
        let count = UInt64(byteCount / blockBytes)
        try checkRange(first, count: count)
        return count
    }

    func checkRange(_ first: LogicalBlock, count: UInt64) throws(DeviceError) {
        guard first.rawValue <= logicalBlockCount, count <= logicalBlockCount - first.rawValue else {
            throw .outOfRange(first, count: count)
        }
    }

    /// Call with the monitor held.
    func checkWritable() throws(DeviceError) {
        guard !isClosed else { throw .closed }
        guard mode == .readWrite else { throw .readOnly }
        if let latch { throw .latched(latch) }
    }

    /// Ends writing until the volume is reopened. Call with the monitor held.
    func setLatch(_ reason: String) {
        if latch == nil { latch = reason }
        monitor.broadcast()
    }
}
