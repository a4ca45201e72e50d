/// Waits for a checkpoint's root: where its copy went, and what it needs kept.
final class RootCapture {
    private(set) var rootCopy: PagePointer?

    /// Keeps everything that the root just written needs, and the copy itself. Call with the monitor held, before anything
    /// else changes.
    func take(_ copy: PagePointer, _ table: SegmentTable, _ geometry: Geometry) {
        rootCopy = copy
        for segment in 0..<UInt32(table.count) where table.load(segment) > 0 { table.keep(segment, .snapshot) }
        if let position = geometry.position(copy.block) { table.keep(position.segment, .snapshot) }
    }
}

extension SecureDevice {
    /// Brings the present state into both root slots, and with it `change`, which is made to what only roots hold. The
    /// commit it takes is the same state again (I9): nothing of the client's may wait for one.
    ///
    /// Call without the monitor.
    /// - Parameters:
    ///   - capture: told where the root's copy is, before any other checkpoint begins.
    ///   - change: called with the monitor held, right before the state is frozen. When it throws, nothing was changed.
    ///   - frozen: called with the monitor held, right after: what belongs to the checkpoint alone.
    /// - Returns: the commit and its time. `nil`: something of the client's waits for a commit; nothing was changed.
    @discardableResult
    func checkpointNow(
        _ capture: RootCapture? = nil, _ change: () throws(DeviceError) -> Void = {},
        frozen: (Checkpoint) -> Void = { _ in }
    ) throws(DeviceError) -> (commit: Root.Commit, timeMilliseconds: UInt64)? {
        monitor.lock()
        defer { monitor.unlock() }
        var own: Checkpoint?
        while own == nil {
            try awaitCheckpoint { checkpoint == nil }
            let isQuiet = try withBarrier { () throws(DeviceError) -> Bool in
                // Another commit may have begun one while the barrier was waited for.
                guard checkpoint == nil else { return true }
                guard !log.hasClientChanges else { return false }
                let commit = try sealLastCommit()
                try change()
                freeze(at: commit, fillsBothSlots: true)
                own = checkpoint
                own?.capture = capture
                if let own { frozen(own) }
                return true
            }
            guard isQuiet else { return nil }
        }
        guard let own else { preconditionFailure("a checkpoint was frozen") }
        try monitor.unlocked { () throws(DeviceError) in try awaitDurable(own.commit.sequence) }
        try awaitCheckpoint { checkpoint !== own }
        try checkWritable()
        return (own.commit, own.timeMilliseconds)
    }

    /// Has the anchor, where there is one, name a commit that was sealed after both root slots got what they have now:
    /// with older roots put back, the volume does not lead there any more. Call without the monitor, at the end of whatever
    /// changed what only roots hold.
    ///
    /// Where something of the client's waits for a commit, or there is no room for one, the client's next says the same.
    func anchorRoots() throws(DeviceError) {
        monitor.lock()
        defer { monitor.unlock() }
        try checkWritable()
        guard log.anchored != nil else { return }
        let commit: Root.Commit?
        do throws(DeviceError) {
            commit = try withBarrier { () throws(DeviceError) in log.hasClientChanges ? nil : try orderCommit() }
        } catch {
            guard error == .noSpace else { throw error }
            return
        }
        guard let commit else { return }
        try monitor.unlocked { () throws(DeviceError) in try awaitDurable(commit.sequence) }
        try confirmAcknowledged()
    }

    /// Waits for the checkpoint under way, or writes it. Call with the monitor held; it is released meanwhile.
    private func awaitCheckpoint(_ isOver: () -> Bool) throws(DeviceError) {
        while !isOver() {
            try checkWritable()
            try maintainOrWait()
        }
    }
}
