extension SecureDevice {
    /// Opens a snapshot beside this device, on the same host, for reading; ``deleteSnapshot(_:)`` refuses meanwhile. Close
    /// it before this device.
    /// - Parameter pastCache: reads go past the host's cache, to say what is stored: for a check.
    public func openSnapshot(_ name: SnapshotName, pastCache: Bool = false) throws(VolumeError) -> SecureDevice {
        let entry = try monitor.locked { () throws(VolumeError) in
            guard !isClosed else { throw .device(.closed) }
            guard let entry = log.retention.snapshots.first(where: { $0.name == name }) else {
                throw .noSuchSnapshot(name)
            }
            openSnapshots[name, default: 0] += 1
            return entry
        }
        let letGo: () -> Void = { [self] in
            monitor.locked {
                let count = openSnapshots[name] ?? 1
                openSnapshots[name] = count > 1 ? count - 1 : nil
            }
        }
        do throws(VolumeError) {
            let root = try Self.snapshotRoot(entry, context)
            var options = options
            options.readsPastCache = options.readsPastCache || pastCache
            let device = try Self.openCommit(root, [], context, mode: .snapshot(name), options, facts, [])
            device.onClose = letGo
            return device
        } catch {
            letGo()
            throw error
        }
    }

    /// A device for reading what `records` after `root` come to.
    static func openCommit(
        _ root: Root, _ records: [RecordHeader], _ context: VolumeContext, mode: OpenMode, _ options: DeviceOptions,
        _ facts: OpenFacts, _ slots: [UnlockedVolume.Slot]
    ) throws(VolumeError) -> SecureDevice {
        let view = context.viewing(root)
        let (map, table) = try replay(records, on: root, view, mapCacheBytes: options.mapCacheBytes)
        let end = records.last.map { Root.Commit(sequence: $0.sequence, tag: $0.tag) } ?? root.commit
        return SecureDevice(
            context: view, mode: mode, options: options, anchor: nil, facts: facts, map: map, table: table,
            log: LogState(readingAt: end, root: root, slots: slots))
    }

    /// Opens an earlier commit: of a snapshot, or one that the chain still holds.
    static func openEarlier(
        _ target: SequenceNumber, _ unlocked: UnlockedVolume, mode: OpenMode, _ options: DeviceOptions
    ) throws(VolumeError) -> SecureDevice {
        if let entry = unlocked.snapshots.first(where: { $0.commit == target }) {
            return try openSnapshot(entry, unlocked, mode: mode, options)
        }
        let root = try HistoryWalk(unlocked).root(for: target)
        let forward = try RollForward(unlocked.context.viewing(root), from: root, anchor: nil, target: target)
        return try openCommit(
            root, forward.records, unlocked.context, mode: mode, options, unlocked.facts, unlocked.slots)
    }

    static func openSnapshot(
        _ entry: SnapshotEntry, _ unlocked: UnlockedVolume, mode: OpenMode, _ options: DeviceOptions
    ) throws(VolumeError) -> SecureDevice {
        try openCommit(
            snapshotRoot(entry, unlocked.context), [], unlocked.context, mode: mode, options, unlocked.facts,
            unlocked.slots)
    }
}
