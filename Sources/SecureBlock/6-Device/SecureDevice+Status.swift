/// What a device tells of itself.
public struct DeviceStatus: Sendable {
    public var volume: VolumeIdentifier
    public var formatVersion: UInt16
    public var cipher: CipherSuite
    public var compatibleFeatures: UInt64
    public var readOnlyCompatibleFeatures: UInt64
    public var incompatibleFeatures: UInt64
    public var createdMilliseconds: UInt64
    /// How bytes travel to the host: io_uring or not, direct or not.
    public var transport: String
    public var mode: OpenMode

    public var logicalBytes: UInt64
    public var volumeBytes: UInt64
    public var segmentBytes: Int
    public var segmentCount: UInt32
    /// Segments that could be taken now.
    public var reusableSegments: Int
    public var neverUsedSegments: Int
    /// Blocks that the map points to.
    public var liveBlocks: UInt64

    /// The last acknowledged commit.
    public var commit: SequenceNumber
    /// Every record up to here is durable.
    public var durable: SequenceNumber
    /// The commit of each root slot.
    public var rootCommits: [SequenceNumber]
    /// No commit before this one is whole any more.
    public var historyHorizon: SequenceNumber
    /// How much of the history is to be kept.
    public var historyPolicy: HistoryPolicy
    /// In the order of their making.
    public var snapshots: [Snapshot]
    public var epochCount: Int
    /// Where this opening took over.
    public var recoveredFrom: SequenceNumber
    /// Records after the last whole commit that recovery gave up.
    public var cutRecords: Int

    /// `nil` without an anchor: an acknowledged commit can then be undone by the host unseen.
    public var anchor: String?
    /// The volume was used with an anchor, whether one is given now or not.
    public var wasAnchored: Bool
    public var anchoredCommit: SequenceNumber?
    /// How far the anchor may lag behind what is acknowledged.
    public var anchorPolicy: AnchorPolicy
    /// Acknowledged commits that the anchor does not name yet: what the host could undo unnoticed now.
    public var exposedCommits: Int
    /// For how long there have been any.
    public var exposedMilliseconds: UInt64

    public var keySlots: [KeySlotStatus]
    /// How many volume keys there were before the present one.
    public var keyVersion: UInt32
    /// What is still sealed under those.
    public var reseal: ResealProgress
    /// The slot that opened the volume.
    public var usedKeySlot: Int
    public var damagedSuperblocks: [Int]
    public var damagedRoots: [Int]
    /// Both kinds of copies were written anew when the device was opened for writing.
    public var areCopiesHealed: Bool
    public var latch: String?
    public var counters: DeviceCounters
}

extension SecureDevice {
    public var status: DeviceStatus {
        let reseal = resealProgress
        return monitor.locked {
            let superblock = context.superblock, geometry = context.geometry
            return DeviceStatus(
                volume: superblock.volume, formatVersion: Superblock.version, cipher: superblock.cipherSuite,
                compatibleFeatures: superblock.compatible,
                readOnlyCompatibleFeatures: superblock.readOnlyCompatible,
                incompatibleFeatures: superblock.incompatible, createdMilliseconds: superblock.createdMilliseconds,
                transport: context.host.transport, mode: mode,
                logicalBytes: geometry.logicalBlocks * UInt64(blockBytes), volumeBytes: geometry.volumeBytes,
                segmentBytes: geometry.segmentBytes, segmentCount: geometry.segmentCount,
                reusableSegments: reusableNow,
                neverUsedSegments: table.neverUsed, liveBlocks: table.liveData, commit: log.acknowledged.sequence,
                durable: log.durable, rootCommits: log.roots.map(\.commit), historyHorizon: log.historyHorizon,
                historyPolicy: log.retention.policy, snapshots: log.retention.snapshots.map(Snapshot.init),
                epochCount: context.epochs.epochs.count { !$0.isFree },
                recoveredFrom: facts.recoveredFrom.sequence, cutRecords: facts.cutRecords,
                anchor: anchor?.description, wasAnchored: log.anchored != nil,
                anchoredCommit: log.anchored?.sequence,
                anchorPolicy: log.anchorPolicy, exposedCommits: log.exposure.commits,
                exposedMilliseconds: log.exposure.commits == 0
                    ? 0 : options.monotonicClock() &- log.exposure.sinceMilliseconds,
                keySlots: keySlots, keyVersion: context.keys.version, reseal: reseal,
                usedKeySlot: facts.usedKeySlot,
                damagedSuperblocks: facts.damagedSuperblocks, damagedRoots: facts.damagedRoots,
                areCopiesHealed: facts.areCopiesHealed, latch: latch,
                counters: log.counters)
        }
    }

    /// Where a block is stored now, `nil` for one never written or discarded.
    public func physicalLocation(of block: LogicalBlock) throws(DeviceError) -> PhysicalBlock? {
        try checkRange(block, count: 1)
        try lockWithMap(block, count: 1)
        defer { monitor.unlock() }
        let entry = map.entry(block)
        return entry.isMapped ? entry.block : nil
    }
}

extension SecureDevice {
    /// The commits that can still be reached from the roots on `host`, newest first. Changes nothing.
    public static func history(_ host: any BlockHost, credential: Credential) throws(VolumeError) -> [CommitRecord]
    {
        try HistoryWalk(try UnlockedVolume(host, credential: credential, forWriting: false)).commits()
    }
}
