// Snapshots. One is a root's copy in the log that stays: an entry in a list that roots point to, and a pin on every segment
// that the copy needs, for data, for pages, for itself. List and pins change in one checkpoint, so that on the host they
// agree at every moment; what memory holds beyond them (``SegmentTable/Keep``) only bridges the time to it.

extension SecureDevice {
    public static let maximumSnapshots = SnapshotEntry.maximumCount

    /// All snapshots, in the order of their making.
    public var snapshots: [Snapshot] {
        monitor.locked { log.retention.snapshots.map(Snapshot.init) }
    }

    /// Gives the present state, which must be committed, a name; durable on return.
    ///
    /// Takes two checkpoints and no space for data, which stays where it is: from here on what is overwritten or
    /// discarded keeps its space until the snapshot is deleted. Before a crash in between, or after an error, there is
    /// no snapshot and nothing is kept.
    public func createSnapshot(_ name: SnapshotName) throws(SnapshotError) -> Snapshot {
        try reshaping { () throws(SnapshotError) in
            try checkRoom(for: name)
            // What the snapshot needs must stay until pins keep it: the client may overwrite it between the checkpoints.
            defer { monitor.locked { table.release(.snapshot) } }
            let capture = RootCapture()
            let frozen = try snapshotCheckpoint(capture) {
                for segment in 0..<context.geometry.segmentCount where table[segment].live > 0 {
                    table.keep(segment, .snapshot)
                }
            }
            guard let copy = capture.rootCopy else { preconditionFailure("a checkpoint was written") }
            let entry = SnapshotEntry(
                commit: frozen.commit.sequence, timeMilliseconds: frozen.timeMilliseconds, rootCopy: copy,
                name: name)
            // Read back as deleting will read it, so that both come to the same.
            let needed: Set<UInt32>
            do throws(VolumeError) { needed = try Self.segmentsNeeded(by: entry, context) } catch {
                throw .damaged(name, "\(error)")
            }
            try snapshotCheckpoint(nil) {
                for segment in needed { table[segment].pins += 1 }
                log.retention.snapshots.append(entry)
                log.retention.isChanged = true
            }
            try anchorSnapshots()
            return Snapshot(entry)
        }
    }

    /// Forgets a snapshot; durable on return. What only it needed is free at once.
    /// - Throws: ``SnapshotError/inUse(_:)`` while it is open through ``openSnapshot(_:)``.
    public func deleteSnapshot(_ name: SnapshotName) throws(SnapshotError) {
        try reshaping { () throws(SnapshotError) in
            let entry = try monitor.locked { () throws(SnapshotError) in
                guard let entry = log.retention.snapshots.first(where: { $0.name == name }) else {
                    throw .noSuchSnapshot(name)
                }
                guard openSnapshots[name] == nil else { throw .inUse(name) }
                return entry
            }
            let needed: Set<UInt32>
            do throws(VolumeError) { needed = try Self.segmentsNeeded(by: entry, context) } catch {
                throw .damaged(name, "\(error)")
            }
            let isPinned = monitor.locked {
                needed.allSatisfy { $0 < context.geometry.segmentCount && table[$0].pins > 0 }
            }
            guard isPinned else { throw .damaged(name, "the segment table does not pin what it needs") }
            try snapshotCheckpoint(nil) {
                for segment in needed {
                    table[segment].pins -= 1
                    // Until a slot is written anew, its root lists the snapshot, and must find it whole.
                    table.need(segment, until: log.last.sequence)
                }
                log.retention.snapshots.removeAll { $0.name == name }
                log.retention.isChanged = true
            }
            try anchorSnapshots()
        }
    }

    private func anchorSnapshots() throws(SnapshotError) {
        do throws(DeviceError) { try anchorRoots() } catch { throw .device(error) }
    }

    private func checkRoom(for name: SnapshotName) throws(SnapshotError) {
        try monitor.locked { () throws(SnapshotError) in
            do throws(DeviceError) { try checkWritable() } catch { throw .device(error) }
            guard !log.retention.snapshots.contains(where: { $0.name == name }) else { throw .nameTaken(name) }
            guard log.retention.snapshots.count < Self.maximumSnapshots else { throw .tooMany }
            guard reusableAfterCheckpoint > reserved(.data) + 2 else { throw .noSpace }
        }
    }

    @discardableResult
    private func snapshotCheckpoint(
        _ capture: RootCapture?, _ change: () throws(DeviceError) -> Void
    ) throws(SnapshotError) -> (commit: Root.Commit, timeMilliseconds: UInt64) {
        do throws(DeviceError) {
            if let frozen = try checkpointNow(capture, change) { return frozen }
        } catch { throw .device(error) }
        throw .uncommittedChanges
    }

    /// Runs `body` while nobody else changes snapshots, size or policy. Call without the monitor.
    func reshaping<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        monitor.locked {
            while isReshaping { monitor.wait() }
            isReshaping = true
        }
        defer {
            monitor.locked {
                isReshaping = false
                monitor.broadcast()
            }
        }
        return try body()
    }

    /// The segments that a snapshot needs, from its own root.
    static func segmentsNeeded(by entry: SnapshotEntry, _ context: VolumeContext) throws(VolumeError) -> Set<UInt32>
    {
        let root = try snapshotRoot(entry, context)
        let view = context.viewing(root)
        var needed: Set<UInt32> = []
        let note: (PagePointer) -> Void = { pointer in
            if let position = view.geometry.position(pointer.block) { needed.insert(position.segment) }
        }
        note(entry.rootCopy)
        try PageTree.load(
            kind: .mapPage, leafCount: LogicalMap.leafCount(logicalBlocks: root.logicalBlocks), top: root.mapTop,
            view
        ).forEachPage { pointer, _, _ in note(pointer) }
        let table = try SegmentTable.load(root.tableTop, view)
        table.tree.forEachPage { pointer, _, _ in note(pointer) }
        for segment in 0..<root.segmentCount where table[segment].live > 0 { needed.insert(segment) }
        return needed
    }

    /// - Throws: ``VolumeError/corrupt(_:)`` when the root does not verify or is another.
    static func snapshotRoot(_ entry: SnapshotEntry, _ context: VolumeContext) throws(VolumeError) -> Root {
        let copy = Root.Previous(pointer: entry.rootCopy, commit: entry.commit)
        guard let root = try HistoryWalk.read(copy, context), root.commit.sequence == entry.commit,
            context.epochs.index(of: root.epoch) == root.epochIndex
        else { throw .corrupt("the root of snapshot \(entry.name) does not verify") }
        return root
    }
}
