/// The state of one commit on its way into a root.
final class Checkpoint {
    let commit: Root.Commit
    let timeMilliseconds: UInt64
    let epochPages: [AlignedBuffer]
    /// The list of snapshots, if it must be written.
    let snapshotPages: [AlignedBuffer]?
    let streams: [Root.Stream]
    let historyHorizon: SequenceNumber
    let logBlocks: UInt64
    /// Both slots get this state at once: space is short, and what the older root holds is to come free.
    let fillsBothSlots: Bool
    /// The size that the root says, and the device has once both slots do.
    var geometry: Geometry
    /// Who wants to know where the root's copy went.
    var capture: RootCapture?

    init(
        commit: Root.Commit, timeMilliseconds: UInt64, epochPages: [AlignedBuffer], snapshotPages: [AlignedBuffer]?,
        streams: [Root.Stream],
        historyHorizon: SequenceNumber, logBlocks: UInt64, fillsBothSlots: Bool, geometry: Geometry
    ) {
        self.geometry = geometry
        self.commit = commit
        self.timeMilliseconds = timeMilliseconds
        self.epochPages = epochPages
        self.snapshotPages = snapshotPages
        self.streams = streams
        self.historyHorizon = historyHorizon
        self.logBlocks = logBlocks
        self.fillsBothSlots = fillsBothSlots
    }
}

extension SecureDevice {
    var checkpointIntervalBlocks: Int {
        let chosen =
            options.checkpointIntervalBytes
            ?? min(64 << 20, Int(context.geometry.volumeBytes / 16))
        return max(chosen / blockBytes, 16)
    }

    /// Freezes the state of a commit just ordered when a checkpoint is due and none runs. Call within the barrier of
    /// that commit: memory is then exactly what replay up to it gives (I2).
    func freezeIfDue(at commit: Root.Commit) {
        guard checkpoint == nil, log.last == commit else { return }
        let isWanted = log.checkpointWanted || map.wantsCheckpoint || isCheckpointWorthwhile
        guard isWanted || log.blocksSinceCheckpoint >= checkpointIntervalBlocks else { return }
        freeze(at: commit, fillsBothSlots: reusableNow <= lowWater || log.bothRootsWanted)
    }

    func freeze(at commit: Root.Commit, fillsBothSlots: Bool) {
        precondition(checkpoint == nil && log.last == commit)
        if options.returnsFreeSpace { endHistoryOfSurplus() }
        table.freeze()
        map.freeze()
        checkpoint = Checkpoint(
            commit: commit, timeMilliseconds: options.clock(),
            epochPages: log.epochsChanged ? context.epochs.serialised() : [],
            snapshotPages: log.retention.isChanged ? SnapshotEntry.serialised(log.retention.snapshots) : nil,
            streams: log.streams.map {
                Root.Stream(
                    position: Sabotage.isOn(.rootListsOldPosition)
                        ? LogPosition(segment: $0.firstUnsealed.segment, block: 0) : $0.firstUnsealed,
                    generation: $0.firstUnsealedGeneration, next: $0.firstUnsealedNext)
            },
            historyHorizon: log.historyHorizon, logBlocks: log.logBlocks, fillsBothSlots: fillsBothSlots,
            geometry: context.geometry)
        log.blocksSinceCheckpoint = 0
        log.checkpointWanted = false
        log.bothRootsWanted = false
        monitor.signalWork()
    }

    /// Writes the frozen state: pages, flush, root (I8). One thread at a time; call without the monitor.
    ///
    /// - Parameter isRecovery: the commit is a recovery's; its anchor comes last, and both slots get the root.
    ///
    /// - Returns: whether there was one to write.
    @discardableResult
    func writeCheckpoint(isRecovery: Bool = false) throws(DeviceError) -> Bool {
        guard let work = monitor.locked({ checkpoint }) else { return false }
        try writeMapPages(work.commit)
        // The pages of the table come after those of the map, which they count.
        try writeTablePages(work.commit)
        let isNewEpochTable = !work.epochPages.isEmpty
        let epochPages = try appendList(.epochPage, work.epochPages)
        let snapshotPages = try work.snapshotPages.map { pages throws(DeviceError) in
            try appendList(.snapshotPage, pages)
        }
        var root = monitor.locked { () -> Root in
            if isNewEpochTable { replaceList(&log.epochPages, epochPages, work.commit) }
            if let snapshotPages { replaceList(&log.retention.snapshotPages, snapshotPages, work.commit) }
            return makeRoot(work)
        }
        // The copy in the log goes first: from it the next root reaches back to this one.
        let payload = Self.payload(of: root)
        let copy = try appendPage(
            BlockAssociation(.root, address: work.commit.sequence.rawValue), UnsafeRawBufferPointer(payload.bytes))
        try settleBeforeRoot(work, isRecovery: isRecovery)
        for (index, slot) in slotsToWrite(work, isRecovery: isRecovery).enumerated() {
            if index > 0 { root.number += 1 }
            root.anchored = Sabotage.isOn(.rootForgetsAnchor) ? nil : monitor.locked { log.anchored }
            try writeRoot(root, slot: slot)
        }
        monitor.locked {
            log.rootCopy = Root.Previous(pointer: copy, commit: work.commit.sequence)
            log.retention.note(Retention.Mark(root))
            work.capture?.take(copy, table, context.geometry)
            if isNewEpochTable { log.epochsChanged = false }
            if snapshotPages != nil { log.retention.isChanged = false }
            log.counters.checkpoints += 1
            checkpoint = nil
            table.thaw()
            map.thaw()
            if work.geometry != context.geometry { adopt(work.geometry) }
            log.commitWanted = isCommitWorthwhile || map.wantsCheckpoint
            if reusableNow <= lowWater { cleaningIsDue = true }
            dropOlderKeys()
            monitor.broadcast()
        }
        return true
    }

    /// The leaves of the map that changed, then the pages above them, level by level.
    private func writeMapPages(_ commit: Root.Commit) throws(DeviceError) {
        let leaves = monitor.locked { map.frozenLeaves }
        for index in leaves.dropLast(Sabotage.isOn(.checkpointForgetsPage) ? 1 : 0) {
            let leaf = monitor.locked { map.frozenLeaf(index) }
            try write(LogicalMap.Page(0, index), leaf.bytes, commit)
        }
        var written = Set(leaves)
        for level in 1..<max(map.counts.count, 1) {
            written = monitor.locked { map.frozenPages(level: level, below: written) }
            for index in written.sorted() {
                let page = LogicalMap.Page(level, index)
                let bytes = monitor.locked { map.serialised(page) }
                try write(page, UnsafeRawBufferPointer(bytes.bytes), commit)
            }
        }
    }

    /// Writes a page of the map; tree and counts follow.
    private func write(_ page: LogicalMap.Page, _ bytes: UnsafeRawBufferPointer, _ commit: Root.Commit)
        throws(DeviceError)
    {
        let pointer = try appendPage(page.association, bytes)
        guard let position = context.geometry.position(pointer.block) else {
            preconditionFailure("we write within the volume")
        }
        monitor.locked {
            let old = map.moved(page, to: pointer)
            if !table.movedMapPage(
                from: old.exists ? old.block : nil, to: position, commit.sequence, context.geometry)
            {
                setLatch("the map has a page in use where the segment table has none")
            }
        }
    }

    /// The pages of the segment table that changed, then those above them.
    private func writeTablePages(_ commit: Root.Commit) throws(DeviceError) {
        var written = monitor.locked { Set(table.frozenPages) }
        for level in 0..<table.tree.levels.count {
            if level > 0 {
                written = Set(written.map { $0 / PagePointer.perPage })
                written.formUnion(monitor.locked { table.tree.unwritten[level] })
            }
            for index in written.sorted() {
                let bytes = monitor.locked {
                    level == 0 ? table.serialised(frozen: index) : table.tree.serialised(level: level, index: index)
                }
                let pointer = try appendPage(
                    BlockAssociation(.tablePage, level: UInt8(level), address: UInt64(index)),
                    UnsafeRawBufferPointer(bytes.bytes))
                monitor.locked {
                    let old = table.tree.levels[level][index]
                    table.setTreePointer(pointer, level: level, index: index)
                    table.movedTablePage(
                        from: old.exists ? old.block : nil, to: pointer.block, commit.sequence, context.geometry)
                }
            }
        }
    }

    /// The pages of a list that is no tree.
    private func appendList(_ kind: BlockKind, _ pages: [AlignedBuffer]) throws(DeviceError) -> [PagePointer] {
        var pointers: [PagePointer] = []
        for (index, page) in pages.enumerated() {
            pointers.append(
                try appendPage(
                    BlockAssociation(kind, address: UInt64(index)), UnsafeRawBufferPointer(page.bytes)))
        }
        return pointers
    }

    /// A list that is no tree has new pages. Monitor held.
    private func replaceList(_ old: inout [PagePointer], _ new: [PagePointer], _ commit: Root.Commit) {
        for index in 0..<max(new.count, old.count) {
            table.movedTablePage(
                from: index < old.count ? old[index].block : nil, to: index < new.count ? new[index].block : nil,
                commit.sequence, context.geometry)
        }
        old = new
    }

    /// Appends one page to the meta stream.
    private func appendPage(_ association: BlockAssociation, _ bytes: UnsafeRawBufferPointer) throws(DeviceError)
        -> PagePointer
    {
        let (record, slot) = try monitor.locked { () throws(DeviceError) -> (RecordBuffer, Int) in
            try checkWritable()
            let reserved = try reserve(.meta, 1, .metadata)
            return (reserved.record, reserved.slot)
        }
        // Once published, the record may be sealed, written and used for something else.
        let block = context.geometry.physical(record.position(slot: slot))
        let generation = record.generation, epochIndex = record.epochIndex
        let tag: Tag
        do {
            guard let key = try context.epochs.key(epochIndex),
                let target = record.bytes(slot: slot).baseAddress
            else { preconditionFailure("the epoch we seal under is in the table") }
            tag = try key.seal(bytes, into: target, at: block, generation, as: association)
        } catch {
            let reason = "sealing a page: \(error)"
            monitor.locked { setLatch(reason) }
            throw .latched(reason)
        }
        try monitor.locked { () throws(DeviceError) in
            record.entries[slot] = RecordEntry(association, tag: tag)
            record.pending -= 1
            if record.room == 0 { try closeOpen(.meta) }
        }
        return PagePointer(block: block, generation: generation, epochIndex: epochIndex, tag: tag)
    }

    /// Everything the root will name is durable, and so is its commit; outside recovery the anchor confirmed it (I8).
    private func settleBeforeRoot(_ work: Checkpoint, isRecovery: Bool) throws(DeviceError) {
        try monitor.locked { () throws(DeviceError) in try closeOpen(.meta) }
        if !isRecovery { try awaitDurable(work.commit.sequence) }
        monitor.lock()
        defer { monitor.unlock() }
        if !isRecovery { try confirmAcknowledged() }
        let last = log.last.sequence
        while log.isFlushing { monitor.wait() }
        log.isFlushing = true
        defer {
            log.isFlushing = false
            monitor.broadcast()
        }
        try awaitWrites(through: last)
        if log.durable < last, !Sabotage.isOn(.rootBeforePages) { try flushHost() }
    }

    private func makeRoot(_ work: Checkpoint) -> Root {
        var root = Root(
            number: max(log.roots[0].number, log.roots[1].number) + (Sabotage.isOn(.sameRootNumber) ? 0 : 1),
            epoch: log.epoch.identifier,
            epochIndex: log.epochIndex,
            commit: work.commit, timeMilliseconds: work.timeMilliseconds, anchored: log.anchored,
            recoveredFrom: log.recoveredFrom, streams: work.streams, logicalBlocks: work.geometry.logicalBlocks,
            segmentCount: work.geometry.segmentCount, historyHorizon: work.historyHorizon,
            previous: log.rootCopy, mapTop: map.top, tableTop: table.tree.top, epochPages: log.epochPages,
            keySlotDigests: keySlotDigests)
        root.snapshotPages = log.retention.snapshotPages
        root.historyPolicy = log.retention.policy
        root.sparePerMille = log.sparePerMille
        root.logBlocks = work.logBlocks
        root.anchorPolicy = log.anchorPolicy
        root.keyVersion = context.keys.version
        root.keySince = log.keySince
        root.olderKeys = log.olderKeys
        return root
    }

    /// A root as a block of the log.
    private static func payload(of root: Root) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<Root.payloadBytes]))
        root.write(to: &writer)
        return buffer
    }

    /// The older slot first.
    private func slotsToWrite(_ work: Checkpoint, isRecovery: Bool) -> [Int] {
        monitor.locked {
            let older = log.roots[0].number <= log.roots[1].number ? 0 : 1
            if Sabotage.isOn(.oneRecoveryRoot), isRecovery { return [older] }
            return isRecovery || work.fillsBothSlots ? [older, 1 - older] : [older]
        }
    }

    /// Writes one slot and flushes it alone.
    private func writeRoot(_ root: Root, slot: Int) throws(DeviceError) {
        let sealed: AlignedBuffer
        do {
            guard let key = try context.epochs.key(root.epochIndex) else {
                preconditionFailure("the epoch we seal under is in the table")
            }
            sealed = try root.seal(
                key, volume: context.superblock.volume, superblockDigest: context.superblockDigest)
        } catch {
            let reason = "sealing root \(root.number): \(error)"
            monitor.locked { setLatch(reason) }
            throw .latched(reason)
        }
        do throws(HostError) {
            try context.host.write(
                at: Layout.rootSlots[slot] * UInt64(blockBytes), UnsafeRawBufferPointer(sealed.bytes))
            if !Sabotage.isOn(.rootWithoutFlush) { try context.host.flush() }
        } catch {
            let reason = "writing root \(root.number) to slot \(slot): \(error)"
            monitor.locked { setLatch(reason) }
            throw .latched(reason)
        }
        monitor.locked {
            log.roots[slot] = LogState.SlotContents(root)
            log.boundDigests[slot] = root.keySlotDigests
            table.advance(durable: log.acknowledged.sequence, olderRoot: log.olderRootCommit)
        }
    }
}
