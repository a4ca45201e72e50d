extension SecureDevice {
    /// A commit of this device.
    struct Ticket: CommitTicket {
        let device: SecureDevice
        let sequence: SequenceNumber
        func wait() throws(DeviceError) { try device.awaitDurable(sequence) }
    }

    /// Orders a commit: everything written and discarded before becomes durable with it, nothing after does.
    ///
    /// Returns once the commit has its place in the chain and is on its way to the host. Where nothing changed since
    /// the last commit, that one's ticket is returned. A commit that ends an epoch returns when both roots of the next
    /// one are durable.
    public func commit() throws(DeviceError) -> any CommitTicket {
        monitor.lock()
        defer { monitor.unlock() }
        try checkWritable()
        return try withBarrier { () throws(DeviceError) in
            if isEpochChangeDue {
                do throws(DeviceError) {
                    return Ticket(device: self, sequence: try commitAndChangeEpoch().sequence)
                } catch {
                    // Without room for it the epoch stays, for now.
                    guard error == .noSpace else { throw error }
                }
            }
            // While space is short, a commit of nothing still lets a checkpoint free some.
            guard log.hasUncommitted || log.commitWanted && log.blocksSinceCheckpoint > 0 || log.checkpointWanted
            else {
                return Ticket(device: self, sequence: log.lastCommit.sequence)
            }
            return Ticket(device: self, sequence: try orderCommit().sequence)
        }
    }

    /// Seals the commit record, and freezes its state where a checkpoint is due. Call within a barrier.
    func orderCommit() throws(DeviceError) -> Root.Commit {
        let commit = try sealCommit()
        freezeIfDue(at: commit)
        return commit
    }

    /// A commit with nothing after it, which is what a root describes: the cleaner may get a record in between. Call within
    /// a barrier.
    func sealLastCommit() throws(DeviceError) -> Root.Commit {
        var commit = try sealCommit()
        while log.last != commit { commit = try sealCommit() }
        return commit
    }

    /// Seals the commit record. Call within a barrier.
    func sealCommit() throws(DeviceError) -> Root.Commit {
        if !Sabotage.isOn(.commitLeavesDiscards) { try sealDiscards(.metadata) }
        if log.streams[0].open == nil { try beginRecord(.user, needsRoom: false, .metadata) }
        try closeAndDrain(.user, flags: .commit)
        log.hasUncommitted = false
        log.hasClientChanges = false
        return log.lastCommit
    }

    /// Returns once commit `sequence` is durable and the anchor names it or a later one.
    func awaitDurable(_ sequence: SequenceNumber) throws(DeviceError) {
        monitor.lock()
        while log.acknowledged.sequence < sequence {
            if let latch {
                monitor.unlock()
                throw .latched(latch)
            }
            if log.isFlushing {
                monitor.wait()
                continue
            }
            log.isFlushing = true
            do throws(DeviceError) {
                try makeDurable(sequence)
                log.isFlushing = false
                monitor.broadcast()
            } catch {
                log.isFlushing = false
                monitor.broadcast()
                monitor.unlock()
                throw error
            }
        }
        let runsInline = maintenance == nil
        monitor.unlock()
        // The commit is durable, whatever becomes of a checkpoint; one that fails latches, and the next call says so.
        if runsInline { do throws(DeviceError) { try maintainInline() } catch { return } }
    }

    /// Flushes, for everybody who waits, and confirms the newest commit that became durable. Call with the monitor
    /// held, by one thread at a time.
    private func makeDurable(_ sequence: SequenceNumber) throws(DeviceError) {
        if Sabotage.isOn(.acknowledgeFirst), let last = log.ordered.last { return try acknowledge(last, count: 1) }
        try awaitWrites(through: log.last.sequence)
        if log.durable < sequence { try flushHost() }
        guard let newest = log.ordered.last(where: { $0.sequence <= log.durable }) else { return }
        try acknowledge(newest, count: log.ordered.count { $0.sequence <= newest.sequence })
    }

    /// Makes all writes that completed before this call durable (I5). Call with the monitor held and every record up
    /// to `log.last`, as it is now, written.
    func flushHost() throws(DeviceError) {
        let upTo = log.inFlight.first.map { SequenceNumber($0.sequence.rawValue - 1) } ?? log.last.sequence
        monitor.unlock()
        var failure: HostError?
        do { if !Sabotage.isOn(.skipFlush) { try context.host.flush() } } catch { failure = error }
        monitor.lock()
        log.counters.flushes += 1
        if let failure, !Sabotage.isOn(.ignoreFailedFlush) {
            // What a failed flush left behind is unknown, and a second one may lie (fsync's lost errors): no retry.
            setLatch("flush failed: \(failure)")
            throw .latched("flush failed: \(failure)")
        }
        if log.durable < upTo { log.durable = upTo }
    }

    /// Waits until every record up to `sequence` is written. Call with the monitor held.
    func awaitWrites(through sequence: SequenceNumber) throws(DeviceError) {
        while let first = log.inFlight.first, first.sequence <= sequence { try awaitOldestWrite() }
    }

    /// Waits for the first record in flight. A write that failed is tried again with the same bytes (I13), then latches.
    /// Call with the monitor held; it is released meanwhile.
    func awaitOldestWrite() throws(DeviceError) {
        reap()
        guard let record = log.inFlight.first, let write = record.write else { return }
        monitor.unlock()
        var failure: HostError?
        do { try write.wait() } catch { failure = error }
        monitor.lock()
        if let latch { throw .latched(latch) }
        guard let failure, log.inFlight.first === record, record.write === write else {
            reap()
            return
        }
        record.attempts += 1
        guard record.attempts <= 2 else {
            setLatch("record \(record.sequence.rawValue) could not be written: \(failure)")
            throw .latched("record \(record.sequence.rawValue) could not be written: \(failure)")
        }
        record.isDurableWrite = false
        record.write = context.host.beginWrite(
            at: context.offset(context.geometry.physical(record.base)), record.stored, durable: false)
    }
}
