extension SecureDevice {
    /// Opens a volume and recovers it to its last commit.
    ///
    /// For writing, a new epoch begins on that state and is durable on return; reading only changes nothing on the host.
    /// The device owns `host` from here on and closes it with ``close()``; when this throws, the host stays open.
    ///
    /// - Parameters:
    ///   - anchor: what this volume is anchored in, if it is. An unused one is taken up by a volume that has none.
    ///   - mode: for writing, for reading, or an earlier commit for reading.
    public static func open(
        _ host: any BlockHost, credential: Credential, anchor: (any Anchor)? = nil, mode: OpenMode = .readWrite,
        options: DeviceOptions = DeviceOptions()
    ) throws(VolumeError) -> SecureDevice {
        let unlocked = try UnlockedVolume(host, credential: credential, forWriting: mode == .readWrite)
        let newest = unlocked.newest
        let anchored = try checkAnchor(anchor, unlocked, mode: mode, options: options)
        var facts = unlocked.facts
        // Roots go on binding the slots that they bound, not what the host has put there since.
        facts.keySlotDigests = newest.keySlotDigests
        let context = unlocked.context

        if case .readOnlyAt(let target) = mode {
            return try openEarlier(target, unlocked, mode: mode, options)
        }
        if case .snapshot(let name) = mode {
            guard let entry = unlocked.snapshots.first(where: { $0.name == name }) else {
                throw .noSuchSnapshot(name)
            }
            return try openSnapshot(entry, unlocked, mode: mode, options)
        }

        let forward = try RollForward(context, from: newest, anchor: anchored)
        facts.cutRecords = forward.cut.count
        let replayed = try replayed(
            forward.records, on: newest, context, mapCacheBytes: options.mapCacheBytes, notesHistory: true,
            rebuilding: options.rebuildsSegmentTable ? unlocked.snapshots.isEmpty : nil)
        let (map, table) = (replayed.map, replayed.table)
        guard mode == .readWrite else {
            var log = LogState(readingAt: forward.end, root: newest, slots: unlocked.slots)
            log.retention = Retention(newest, unlocked.snapshots)
            return SecureDevice(
                context: context, mode: mode, options: options, anchor: anchor, facts: facts, map: map,
                table: table, log: log)
        }
        let horizon = replayed.horizon(after: forward.cut)
        var retention = Retention(newest, unlocked.snapshots)
        if !retention.policy.isNone {
            let walk = HistoryWalk(context, newest: newest, bound: forward.end.sequence, horizon: horizon)
            retention.adopt(retention.policy, try walk.marks())
        }
        // Until both slots are replaced, what either root needs must stay (I7).
        for header in forward.cut where table[header.position.segment].lastRecord < header.sequence {
            table[header.position.segment].lastRecord = header.sequence
        }
        try holdPages(of: unlocked, in: table)
        let state = RecoveredState(
            end: forward.end, map: map, table: table,
            roots: (0..<2).map { index in
                unlocked.slots.first { $0.slot == index }.map { LogState.SlotContents($0.root) }
                    ?? LogState.SlotContents(nothingBefore: newest.commit.sequence)
            },
            rootCopy: forward.rootCopy ?? newest.previous,
            historyHorizon: horizon, retention: retention, sparePerMille: newest.sparePerMille,
            logBlocks: newest.logBlocks
                + (forward.records + forward.cut).reduce(0) { $0 + UInt64($1.dataBlocks + 1) },
            // Written without its anchor, a volume still asks for it next time, and the anchor still fits (I12) if what
            // was recovered is what it last confirmed: so it is, unless a crash came between the flush and the anchor.
            anchored: anchor == nil && newest.anchored != nil
                ? forward.end : anchored.map { Root.Commit(sequence: $0.sequence, tag: $0.tag) },
            anchorPolicy: anchored == nil ? anchor?.preferredPolicy ?? newest.anchorPolicy : newest.anchorPolicy,
            keySince: newest.keySince, olderKeys: newest.olderKeys,
            epochPages: newest.epochPages,
            cutSegments: forward.cut.map(\.position.segment))
        // The key is at hand that only a writer needs: a damaged copy is whole again from here on. Both roots are written
        // anew in any case.
        try writeSuperblocks(facts.damagedSuperblocks, context)
        facts.areCopiesHealed = true
        let device = try begin(context, state, mode: mode, options: options, anchor: anchor, facts: facts)
        if !facts.staleSuperblocks.isEmpty || facts.keySlots.contains(where: { $0.state == .unbound }) {
            try device.finishRotation(superblocks: facts.staleSuperblocks)
        }
        do throws(AnchorError) { try device.settleAnchor() } catch { throw VolumeError(error) }
        do { try device.startMaintenance() } catch { throw .host(error) }
        return device
    }

    /// What the anchor holds, checked for being this volume's.
    private static func checkAnchor(
        _ anchor: (any Anchor)?, _ unlocked: UnlockedVolume, mode: OpenMode, options: DeviceOptions
    ) throws(VolumeError) -> AnchorValue? {
        guard let anchor else {
            guard
                unlocked.newest.anchored == nil || options.acceptsMissingAnchor
                    || Sabotage.isOn(.acceptMissingAnchor)
            else { throw .anchorRequired }
            return nil
        }
        let value = try anchor.load(with: unlocked.context.keys)
        guard value != nil || unlocked.newest.anchored == nil || options.acceptsMissingAnchor else {
            throw .anchorUnavailable("\(anchor) is empty, but the volume was anchored")
        }
        return value
    }

    /// The state of the last of `records`, from the root's pages and what the records say.
    static func replay(
        _ records: [RecordHeader], on root: Root, _ context: VolumeContext,
        mapCacheBytes: Int = DeviceOptions().mapCacheBytes
    ) throws(VolumeError) -> (LogicalMap, SegmentTable) {
        let replayer = try replayed(records, on: root, context, mapCacheBytes: mapCacheBytes, notesHistory: false)
        return (replayer.map, replayer.table)
    }

    /// As ``replay(_:on:_:mapCacheBytes:)``, with what became of history meanwhile.
    ///
    /// - Parameter rebuilding: make the segment table anew; whether snapshots let that be done in part.
    static func replayed(
        _ records: [RecordHeader], on root: Root, _ context: VolumeContext,
        mapCacheBytes: Int = DeviceOptions().mapCacheBytes, notesHistory: Bool, rebuilding: Bool? = nil
    ) throws(VolumeError) -> Replayer {
        let leaves = LogicalMap.leafCount(logicalBlocks: root.logicalBlocks)
        guard root.mapTop.count == PageTree.levelCounts(leafCount: leaves).last else {
            throw .corrupt("root \(root.number) has \(root.mapTop.count) top pages of the map")
        }
        let table: SegmentTable
        if let rebuilding {
            let tree = try PageTree.load(kind: .mapPage, leafCount: leaves, top: root.mapTop, context)
            table = try TableRebuild.run(context, root, tree, hasSnapshots: !rebuilding)
        } else {
            table = try SegmentTable.load(root.tableTop, context)
        }
        if notesHistory { try noteDeadPages(of: root, in: table, context) }
        let replayer = Replayer(
            context, epochIndex: root.epochIndex,
            map: LogicalMap(logicalBlocks: root.logicalBlocks, top: root.mapTop, limitBytes: mapCacheBytes),
            table: table, historyHorizon: root.historyHorizon)
        try replayer.prefetch(records)
        for header in records { try replayer.apply(header) }
        return replayer
    }

    /// Pages of the segment table that the newest checkpoint replaced died after it had stored where: what the root before
    /// needs is noted again, so that history is not thought whole where they are overwritten.
    private static func noteDeadPages(of newest: Root, in table: SegmentTable, _ context: VolumeContext)
        throws(VolumeError)
    {
        guard let previous = newest.previous, let root = try HistoryWalk.read(previous, context) else { return }
        let view = context.viewing(root)
        do throws(VolumeError) {
            let tree = try PageTree.load(
                kind: .tablePage, leafCount: SegmentTable.pageCount(segments: Int(root.segmentCount)),
                top: root.tableTop, view)
            for pointer in tree.pages {
                guard let position = context.geometry.position(pointer.block) else { continue }
                table.holdsPage(position.segment, until: newest.commit.sequence)
            }
        } catch {
            // Not whole any more: nothing to keep in mind.
            guard case .host = error else { return }
            throw error
        }
    }

    /// Counts the pages of the newest root's segment table and lists, and keeps the segments with those of the older root
    /// until its slot is written anew. (Pages of the map are counted in the table.) Pages of the older root that do not
    /// verify hold nothing: that root is of no use.
    private static func holdPages(of unlocked: UnlockedVolume, in table: SegmentTable) throws(VolumeError) {
        let geometry = unlocked.context.geometry, newest = unlocked.newest
        let present = newest.epochPages + newest.snapshotPages + table.tree.pages
        for pointer in present {
            if let position = geometry.position(pointer.block) { table.holdsPage(position.segment) }
        }
        guard unlocked.slots.count > 1 else { return }
        let older = unlocked.slots[1].root
        for segment in unpinned(older, unlocked) where segment < geometry.segmentCount {
            table.need(segment, until: newest.commit.sequence)
        }
        var pages = older.epochPages + older.snapshotPages
        do throws(VolumeError) {
            pages += try PageTree.load(
                kind: .tablePage, leafCount: SegmentTable.pageCount(segments: Int(older.segmentCount)),
                top: older.tableTop, unlocked.context.viewing(older)
            ).pages
        } catch {
            // Behind the store's end: of a time when the volume was larger, so put back.
            guard case .host(let failure) = error else { return }
            if case .beyondEnd = failure { return }
            throw error
        }
        for pointer in pages {
            if let position = geometry.position(pointer.block) {
                table.holdsPage(position.segment, until: newest.commit.sequence)
            }
        }
    }

    /// Writes superblock copies anew, with the authenticator of the present key, one after the other: a crash in between
    /// leaves the other as it was.
    static func writeSuperblocks(_ copies: [Int], _ context: VolumeContext) throws(VolumeError) {
        do {
            for copy in copies {
                guard let key = try context.keys.superblockKey() else { return }
                let stored = try context.superblock.serialise(key: key)
                // What the roots bind, byte for byte.
                guard Superblock.digest(UnsafeRawBufferPointer(stored.bytes)) == context.superblockDigest else {
                    throw VolumeError.superblocksDamaged
                }
                try context.host.write(
                    at: Layout.superblocks[copy] * UInt64(blockBytes), UnsafeRawBufferPointer(stored.bytes))
                try context.host.flush()
            }
        } catch let error as VolumeError {
            throw error
        } catch let error as HostError {
            throw .host(error)
        } catch { throw .crypto("\(error)") }
    }
}

extension SecureDevice {
    /// What snapshots need that only the older root lists: a crash came while they were deleted. The newest root pins
    /// it no more, but losing that one must not make them what cannot be read.
    private static func unpinned(_ older: Root, _ unlocked: UnlockedVolume) -> Set<UInt32> {
        var needed: Set<UInt32> = []
        do throws(VolumeError) {
            for entry in try UnlockedVolume.readSnapshots(older, unlocked.context)
            where !unlocked.snapshots.contains(entry) {
                needed.formUnion(try segmentsNeeded(by: entry, unlocked.context))
            }
        } catch {
            return needed
        }
        return needed
    }
}

extension LogState {
    /// A log that is only read.
    init(readingAt end: Root.Commit, root: Root, slots: [UnlockedVolume.Slot]) {
        self.init(
            epoch: Epoch(identifier: root.epoch), epochIndex: root.epochIndex, last: end, lastCommit: end,
            durable: end.sequence, acknowledged: end, anchored: root.anchored, historyHorizon: root.historyHorizon,
            roots: (0..<2).map { index in
                slots.first { $0.slot == index }.map { SlotContents($0.root) }
                    ?? SlotContents(nothingBefore: SequenceNumber(0))
            }, rootCopy: root.previous, recoveredFrom: root.recoveredFrom)
        anchorPolicy = root.anchorPolicy
    }
}
