/// What recovery found, ready for a new epoch to begin on it.
struct RecoveredState {
    var end: Root.Commit
    var map: LogicalMap
    var table: SegmentTable
    /// What each slot holds now.
    var roots: [LogState.SlotContents]
    var rootCopy: Root.Previous?
    var historyHorizon: SequenceNumber
    var retention = Retention()
    var sparePerMille: UInt32
    /// Blocks that the log took up to ``end``.
    var logBlocks: UInt64
    /// What the anchor holds.
    var anchored: Root.Commit?
    var anchorPolicy: AnchorPolicy
    var keySince = SequenceNumber(0)
    var olderKeys: [SealedVolumeKey] = []
    /// Where the newest root has the epoch table: counted in ``table``, until the first checkpoint has pages of its own.
    var epochPages: [PagePointer] = []
    /// Segments with records that recovery gave up.
    var cutSegments: [UInt32] = []
}

extension SecureDevice {
    /// Begins a new epoch on a recovered state, in the order that I11 asks for: what the state stands on is flushed; new
    /// epoch, a commit, pages, flush; root into one slot, flush; into the other, flush; the anchor; and only then is
    /// anything served. Without any one of these a second crash could lose an acknowledged commit.
    static func begin(
        _ context: VolumeContext, _ state: RecoveredState, mode: OpenMode, options: DeviceOptions,
        anchor: (any Anchor)?, facts: OpenFacts
    ) throws(VolumeError) -> SecureDevice {
        do {
            if !Sabotage.isOn(.skipRecoveryFlush) { try context.host.flush() }
            let epoch = Epoch(
                identifier: Sabotage.isOn(.fixedEpoch) ? Tag(low: 7, high: 7) : try Self.randomTag(),
                keyVersion: context.keys.version)
            var state = state
            state.historyHorizon = max(state.historyHorizon, pruneEpochs(context, state.table))
            guard let epochIndex = context.epochs.add(epoch) else {
                throw VolumeError.corrupt("\(Epoch.maximumCount) epochs are in use")
            }
            var log = LogState(
                epoch: epoch, epochIndex: epochIndex, last: state.end, lastCommit: state.end,
                durable: state.end.sequence, acknowledged: state.end, anchored: state.anchored,
                historyHorizon: state.historyHorizon, roots: state.roots, rootCopy: state.rootCopy,
                recoveredFrom: state.end)
            log.retention = state.retention
            log.sparePerMille = state.sparePerMille
            log.logBlocks = state.logBlocks
            log.keySince = state.keySince
            log.olderKeys = state.olderKeys
            log.epochPages = state.epochPages
            log.anchorPolicy = options.anchorPolicy ?? state.anchorPolicy
            log.isAnchorSettled = anchor?.asksForKey != true
            var facts = facts
            facts.recoveredFrom = state.end
            let device = SecureDevice(
                context: context, mode: mode, options: options, anchor: anchor, facts: facts, map: state.map,
                table: state.table, log: log)
            try device.openStreams()
            try device.commitRecovery()
            device.forgetCut(state.cutSegments)
            return device
        } catch let error as VolumeError {
            throw error
        } catch let error as HostError {
            throw .host(error)
        } catch let error as DeviceError {
            throw .device(error)
        } catch {
            throw .crypto("\(error)")
        }
    }

    /// Drops epochs that no segment names, and, when the table runs full, those that only history still needs.
    /// - Returns: the commit before which no root is whole for want of its epoch.
    static func pruneEpochs(_ context: VolumeContext, _ table: SegmentTable) -> SequenceNumber {
        let count = context.epochs.epochs.count
        guard count >= Epoch.perPage else { return SequenceNumber(0) }
        let keepsHistory = count < Epoch.maximumCount / 2
        var used: Set<UInt32> = []
        for segment in 0..<UInt32(table.count) {
            let entry = table[segment]
            if keepsHistory || entry.live > 0 || entry.pins > 0 || table[volatile: segment].pages > 0 {
                used.insert(entry.epochIndex)
            }
        }
        context.epochs.prune { used.contains($0) }
        return (0..<UInt32(table.count)).reduce(SequenceNumber(0)) { horizon, segment in
            used.contains(table[segment].epochIndex) ? horizon : max(horizon, table.historyEnd(segment))
        }
    }

    static func randomTag() throws(SealError) -> Tag {
        let bytes = try Random.bytes(Tag.byteCount)
        return bytes.withUnsafeBytes { Tag(loading: $0) }
    }

    /// Gives every stream its first segment and the one after.
    private func openStreams() throws(DeviceError) {
        try monitor.locked { () throws(DeviceError) in
            for id in StreamID.allCases {
                let first = try takeSegment(id, .metadata)
                log.streams.append(
                    LogState.Stream(
                        at: LogPosition(segment: first.segment, block: 0), generation: first.generation,
                        next: try takeSegment(id, .metadata)))
            }
            // Where the host is full already, commits will have to do with what the streams hold.
            try backSegments()
        }
    }

    /// The first commit of the epoch: the recovered state, under the new key.
    private func commitRecovery() throws(DeviceError) {
        let commit = try monitor.locked { () throws(DeviceError) -> Root.Commit in
            let commit = try withBarrier { () throws(DeviceError) -> Root.Commit in
                log.blocksSinceCheckpoint = 0
                let commit = try sealCommit()
                freeze(at: commit, fillsBothSlots: true)
                return commit
            }
            isMaintaining = true
            return commit
        }
        try writeCheckpoint(isRecovery: true)
        monitor.locked { isMaintaining = false }
        try awaitDurable(commit.sequence)
        try monitor.locked { () throws(DeviceError) in try confirmAcknowledged() }
    }

    /// Records that recovery gave up bear numbers that this epoch gives out again. Both roots are of this epoch now, so
    /// nothing needs them.
    private func forgetCut(_ segments: [UInt32]) {
        monitor.locked {
            for segment in segments where table[segment].lastRecord > log.olderRootCommit {
                table[segment].lastRecord = log.olderRootCommit
            }
        }
    }
}
