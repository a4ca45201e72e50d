// How much of the log is free, for whom, and what would free more. Everything here runs with the monitor held, but for what
// its name says.

extension SecureDevice {
    /// Whether hardly more is free than commits and checkpoints need: whoever keeps space for convenience should let go.
    /// Call without the monitor.
    public var isShortOfSpace: Bool { monitor.locked { reusableAfterCheckpoint <= reserved(.data) + 2 } }

    /// How far into the reserve an append may go (I10).
    enum Allowance {
        /// Client data: stops while commits and checkpoints can still be made.
        case data
        /// The cleaner: goes further, as it gives back more than it takes.
        case cleaning
        /// Commits, discards and checkpoints.
        case metadata
    }

    /// Segments that stay free for others.
    func reserved(_ allowance: Allowance) -> Int {
        if Sabotage.isOn(.noReserve) { return 0 }
        return switch allowance {
        case .data: 12 + min(Int(context.geometry.segmentCount) / 128, 8) + checkpointReserve
        // What opening takes after a crash: two a stream, beside those that the older root still needs.
        case .cleaning: 6 + checkpointReserve
        case .metadata: 0
        }
    }

    /// Pages that the running checkpoint and the next one write at most.
    var pagesToWrite: Int {
        let changed = map.heldPages + table.dirtyCount + table.frozenCount
        return changed + min(changed, map.interiorCount + table.tree.interiorCount)
    }

    /// Segments that these pages may fill: what is written here and there changes a page with every block.
    var checkpointReserve: Int {
        let segmentBlocks = context.geometry.segmentBlocks, record = context.geometry.recordBlocks
        return pagesToWrite / (segmentBlocks - (segmentBlocks + record - 1) / record)
    }

    /// Segments that could be taken now: while the host is full, only those whose space it has given.
    var reusableNow: Int { table.count(from: .ready, backedOnly: log.hostIsFull) }
    /// … once everything sealed is committed,
    var reusableAfterCommit: Int { table.count(from: .awaitsCommit, backedOnly: log.hostIsFull) }
    /// … and once both roots are of that commit.
    var reusableAfterCheckpoint: Int { table.count(from: .awaitsRoot, backedOnly: log.hostIsFull) }

    /// Fewer reusable segments than this, and cleaning begins.
    var lowWater: Int { reserved(.data) + 4 + Int(context.geometry.segmentCount) / 256 }
    /// Cleaning goes on until so many segments are reusable, or would be after a commit.
    var highWater: Int { lowWater - checkpointReserve + 4 + Int(context.geometry.segmentCount) / 256 }

    /// Whether space is so short that the client should commit, if only for the segments that come free with it.
    var isCommitWorthwhile: Bool {
        reusableNow <= lowWater && reusableAfterCommit > reusableNow || isCheckpointWorthwhile
    }

    /// Whether space is so short that a checkpoint should be made of the next commit: it lets go of much more than its
    /// pages take, or of anything, where a writer is about to wait for it.
    var isCheckpointWorthwhile: Bool {
        let reusable = reusableAfterCommit, freed = reusableAfterCheckpoint - reusable
        guard reusable <= lowWater else { return false }
        if reusable <= reserved(.data) + 1 { return freed > 0 || checkpointReserve > 0 }
        return freed * context.geometry.segmentBlocks > 8 * pagesToWrite
    }

    /// Whether a commit, and a checkpoint of it, are all that `allowance` wants for its next segment.
    func isCommitEnough(for allowance: Allowance) -> Bool {
        // The best segment's history is within the policy: no commit makes it older.
        if allowance != .metadata, log.isHistoryInTheWay { return false }
        var wanted = reserved(allowance)
        if allowance != .metadata { wanted -= checkpointReserve }
        return reusableAfterCheckpoint > wanted
    }

    /// Whether a commit brings the next segment nearer, if only by letting the cleaner go on. Where many checkpoints in a
    /// row brought data none, the volume is full.
    func doesCommitHelp(_ allowance: Allowance) -> Bool {
        if isCommitEnough(for: allowance) { return true }
        if allowance != .metadata, log.isHistoryInTheWay { return false }
        let checkpointsInVain = log.counters.checkpoints - log.checkpointsAtDataSegment
        return reusableAfterCheckpoint > reusableNow && checkpointsInVain < 32
    }
}
