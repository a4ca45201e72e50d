// Changing the epoch of an open device: what opening for writing does, in the middle of work.

/// A new volume key on its way in: what the next epoch change puts in place.
struct PreparedRotation {
    let volumeKey: SecretBytes
    /// The keys before it, as the roots keep them.
    let olderKeys: [SealedVolumeKey]
    /// What the key slots are from then on.
    let keySlots: [KeySlotStatus]
    let keySlotDigests: [Tag]
}

extension SecureDevice {
    /// Whether the next commit of the client is to change the epoch. Monitor held.
    var isEpochChangeDue: Bool { log.rotation != nil || log.blocksInEpoch >= options.epochBlockLimit }

    /// Commits in the present epoch, and goes on in a new one: under a new volume key, if one waits.
    ///
    /// The order is recovery's (I11): the last commit of the old epoch is durable and anchored; new epoch, streams on
    /// fresh segments, a commit of the same state, pages, flush; root into one slot, flush; into the other, flush; the
    /// anchor. The chain ends at an epoch's end, so until both roots are there nothing of the new epoch may be
    /// acknowledged: the barrier is held throughout.
    ///
    /// Call with the monitor held, within a barrier; the monitor is released at waits.
    /// - Returns: the last commit of the old epoch.
    /// - Throws: ``DeviceError/noSpace`` when there are not segments enough; the commit is ordered all the same, and
    ///   the epoch stays. Any other failure latches.
    func commitAndChangeEpoch() throws(DeviceError) -> Root.Commit {
        try holdMaintenance()
        defer { releaseMaintenance() }
        let last = try sealCommit()
        try awaitAcknowledged(last.sequence)
        let needed = 2 * StreamID.allCases.count + checkpointReserve + 2
        guard reusableNow >= needed else {
            log.commitWanted = true
            cleaningIsDue = true
            throw .noSpace
        }
        try enterNewEpoch()
        let first = try sealCommit()
        if let rotation = log.rotation {
            log.rotation = nil
            log.keySince = first.sequence
            log.retention.isChanged = !log.retention.snapshots.isEmpty
            keySlots = rotation.keySlots
            keySlotDigests = rotation.keySlotDigests
        }
        freeze(at: first, fillsBothSlots: true)
        do throws(DeviceError) {
            _ = try monitor.unlocked { () throws(DeviceError) in try writeCheckpoint(isRecovery: true) }
        } catch {
            setLatch("changing the epoch: \(error)")
            throw error
        }
        try awaitAcknowledged(first.sequence)
        return last
    }

    /// As ``awaitDurable(_:)``, and the anchor names it. Monitor held; it is released meanwhile.
    private func awaitAcknowledged(_ sequence: SequenceNumber) throws(DeviceError) {
        try monitor.unlocked { () throws(DeviceError) in try awaitDurable(sequence) }
        try confirmAcknowledged()
    }

    /// Draws the epoch and gives every stream new segments under it. The streams are empty: their records are sealed.
    private func enterNewEpoch() throws(DeviceError) {
        precondition(log.streams.allSatisfy(\.isDrained) && log.discards.isEmpty)
        let version = context.keys.version + (log.rotation == nil || Sabotage.isOn(.epochKeepsOldKey) ? 0 : 1)
        let old = (log.epoch, log.epochIndex)
        let epoch: Epoch
        do throws(SealError) {
            epoch = Epoch(identifier: try Self.randomTag(), keyVersion: version)
        } catch {
            setLatch("drawing an epoch: \(error)")
            throw .latched("drawing an epoch: \(error)")
        }
        log.historyHorizon = max(log.historyHorizon, Self.pruneEpochs(context, table))
        guard let index = context.epochs.add(epoch) else { throw .noSpace }
        (log.epoch, log.epochIndex) = (epoch, index)
        var taken: [SegmentReference] = []
        do throws(DeviceError) {
            for id in StreamID.allCases {
                taken.append(try takeSegment(id, .metadata))
                taken.append(try takeSegment(id, .metadata))
            }
        } catch {
            // Nothing was written to them; they are free to be taken again.
            for reference in taken { table.setHeld(reference.segment, false) }
            (log.epoch, log.epochIndex) = old
            throw error
        }
        for stream in log.streams {
            table.setHeld(stream.at.segment, false)
            table.setHeld(stream.next.segment, false)
        }
        log.streams = StreamID.allCases.indices.map { place in
            let first = taken[2 * place]
            return LogState.Stream(
                at: LogPosition(segment: first.segment, block: 0), generation: first.generation,
                next: taken[2 * place + 1])
        }
        if let rotation = log.rotation {
            context.keys.replace(by: rotation.volumeKey)
            log.olderKeys = rotation.olderKeys
            log.isAnchorSettled = anchor?.asksForKey != true
            do throws(SealError) { anchor?.use(try context.keys.anchorKeys()) } catch {
                setLatch("deriving the anchor's key: \(error)")
                throw .latched("deriving the anchor's key: \(error)")
            }
        }
        log.epochsChanged = true
        log.recoveredFrom = log.last
        log.blocksInEpoch = 0
    }
}
