/// Something wrong with a volume, or worth saying.
public struct VolumeFinding: Sendable, Hashable {
    public enum Severity: Int, Sendable, Comparable {
        /// Good to know; nothing is lost.
        case note
        /// Redundancy is lost, or something is not as it should be; all data is there.
        case warning
        /// Data or state is lost or cannot be trusted.
        case error
        public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }
    public var severity: Severity
    /// A short name of the kind of finding that stays the same from release to release.
    public var kind: String
    public var message: String
    /// The logical block concerned, if it is one.
    public var block: LogicalBlock?
    /// The physical block concerned, if it is one.
    public var physical: PhysicalBlock?

    public init(
        _ severity: Severity, _ kind: String, _ message: String, block: LogicalBlock? = nil,
        physical: PhysicalBlock? = nil
    ) {
        self.severity = severity
        self.kind = kind
        self.message = message
        self.block = block
        self.physical = physical
    }
}

/// What a check looked at.
public struct VolumeCheckSummary: Sendable, Hashable {
    /// The commit that was checked: the last whole one.
    public var commit = SequenceNumber(0)
    public var recordsOnChain = 0
    public var recordsCut = 0
    public var segmentsInUse = 0
    public var mappedBlocks: UInt64 = 0
    /// Blocks whose contents an earlier repair or salvage found lost.
    public var lostBlocks: UInt64 = 0
    public var headersVerified: UInt64 = 0
    public var dataVerified: UInt64 = 0
    public init() {}
}

/// Checks a whole volume and changes nothing: superblocks, key slots, roots, anchor, chain, map and segment table against
/// each other, every record header that the map needs, and, if asked, every data block.
public struct VolumeCheck {
    public struct Options: Sendable {
        /// Read every mapped block and verify its tag.
        public var readsData = false
        /// Do not complain of an anchored volume that is checked without its anchor.
        public var acceptsMissingAnchor = false
        /// What the map's entries may take while they are sorted by segment: 8 bytes for each block of the segments
        /// checked at once, so that 256 MiB are enough for 128 GiB of log; the map is read once for each such part.
        public var memoryBytes = 256 << 20
        public init() {}
    }

    /// Checks the volume on `host`, which is opened for reading.
    ///
    /// - Parameters:
    ///   - progress: blocks checked so far, of how many.
    ///   - report: called with each finding as it is made.
    /// - Throws: ``VolumeError`` where no check is possible: no volume, no key, no root.
    public static func run(
        _ host: any BlockHost, credential: Credential, anchor: (any Anchor)?, options: Options,
        progress: (_ done: UInt64, _ total: UInt64) -> Void, report: @escaping (VolumeFinding) -> Void
    ) throws(VolumeError) -> VolumeCheckSummary {
        let unlocked = try UnlockedVolume(host, credential: credential, forWriting: false)
        reportCopies(unlocked, report)
        try reportUnboundSlots(unlocked, report)
        let anchored = try loadAnchor(anchor, unlocked, options, report)
        var summary = VolumeCheckSummary()
        let forward = try RollForward(unlocked.context, from: unlocked.newest, anchor: anchored)
        summary.commit = forward.end.sequence
        summary.recordsOnChain = forward.records.count
        summary.recordsCut = forward.cut.count
        // Checkpoints end with records that no commit follows; only a client's blocks are worth a word.
        let lost = forward.cut.count { $0.entries.contains { [.data, .discard, .lost].contains($0.kind) } }
        if lost > 0 {
            report(
                VolumeFinding(
                    .note, "cut-records",
                    "\(lost) records after commit \(forward.end.sequence.rawValue) were never committed; "
                        + "the next writer gives them up"))
        }
        let (map, table) = try SecureDevice.replay(forward.records, on: unlocked.newest, unlocked.context)
        checkOlderRoot(unlocked, forward, report)
        checkSnapshots(unlocked, table, report)
        let checker = MapChecker(unlocked.context, map, table, options, report)
        try checker.run(progress)
        summary.mappedBlocks = checker.mapped
        summary.lostBlocks = checker.lost
        if checker.lost > 0 {
            report(
                VolumeFinding(
                    .note, "lost-blocks",
                    "\(checker.lost) blocks are marked lost since an earlier repair or salvage, and read as errors")
            )
        }
        summary.headersVerified = checker.headers
        summary.dataVerified = checker.data
        summary.segmentsInUse = (0..<unlocked.context.geometry.segmentCount).count { table[$0].live > 0 }
        return summary
    }

    private static func reportCopies(_ unlocked: UnlockedVolume, _ report: (VolumeFinding) -> Void) {
        for copy in unlocked.facts.damagedSuperblocks {
            report(
                VolumeFinding(
                    .warning, "superblock-damaged", "superblock copy \(copy) does not verify; the other one does",
                    physical: PhysicalBlock(Layout.superblocks[copy])))
        }
        for slot in unlocked.facts.damagedKeySlots {
            report(
                VolumeFinding(
                    .warning, "key-slot-damaged",
                    "key slot \(slot) is damaged; nothing can open the volume with it",
                    physical: PhysicalBlock(Layout.keySlot(slot))))
        }
        for slot in unlocked.facts.damagedRoots {
            report(
                VolumeFinding(
                    .warning, "root-damaged", "root slot \(slot) does not verify; the other one does",
                    physical: PhysicalBlock(Layout.rootSlots[slot])))
        }
    }

    /// Slots that the newest root does not bind. One in the place of an empty one is what a crash leaves of a change, and
    /// opens nothing; in the place of another it keeps somebody out.
    private static func reportUnboundSlots(
        _ unlocked: UnlockedVolume, _ report: (VolumeFinding) -> Void
    ) throws(VolumeError) {
        for slot in 0..<Layout.keySlotCount
        where unlocked.newest.keySlotDigests[slot] != unlocked.facts.keySlotDigests[slot]
            && !unlocked.facts.damagedKeySlots.contains(slot)
        {
            let empty: Tag
            do throws(SealError) {
                empty = try SecureDevice.keySlotDigest(
                    KeySlot.empty(slot: slot, volume: unlocked.context.superblock.volume))
            } catch { throw .crypto("\(error)") }
            let place = PhysicalBlock(Layout.keySlot(slot))
            report(
                unlocked.newest.keySlotDigests[slot] == empty
                    ? VolumeFinding(
                        .note, "key-slot-unbound",
                        "key slot \(slot) opens nothing: an interrupted change left it, or the host put it there; "
                            + "the next opening for writing empties it", physical: place)
                    : VolumeFinding(
                        .warning, "key-slot-replaced",
                        "key slot \(slot) is not the one that this volume was last written with", physical: place))
        }
    }

    private static func loadAnchor(
        _ anchor: (any Anchor)?, _ unlocked: UnlockedVolume, _ options: Options, _ report: (VolumeFinding) -> Void
    ) throws(VolumeError) -> AnchorValue? {
        guard let anchor else {
            if unlocked.newest.anchored == nil {
                report(
                    VolumeFinding(.note, "no-anchor", "without an anchor an older copy of the volume passes unseen")
                )
            } else if !options.acceptsMissingAnchor {
                report(
                    VolumeFinding(
                        .warning, "anchor-not-given", "the volume is anchored, and its freshness was not checked"))
            }
            return nil
        }
        return try anchor.load(with: unlocked.context.keys)
    }

    /// The older root must lead to the same state: its chain passes the newest root's commit, or an open wrote both.
    private static func checkOlderRoot(
        _ unlocked: UnlockedVolume, _ forward: RollForward, _ report: (VolumeFinding) -> Void
    ) {
        guard unlocked.slots.count == 2 else { return }
        let older = unlocked.slots[1].root, newest = unlocked.newest
        guard older.epoch == newest.epoch, older.commit != newest.commit else { return }
        do throws(VolumeError) {
            let reader = try ChainReader(unlocked.context.viewing(older), from: older)
            while let header = try reader.next() {
                if header.sequence == newest.commit.sequence {
                    if header.tag != newest.commit.tag { break }
                    return
                }
            }
            report(
                VolumeFinding(
                    .warning, "older-root-stranded",
                    "the chain from root \(older.number) does not reach commit \(newest.commit.sequence.rawValue)"))
        } catch {
            report(
                VolumeFinding(.warning, "older-root-stranded", "the chain from root \(older.number): \(error)"))
        }
    }
}
