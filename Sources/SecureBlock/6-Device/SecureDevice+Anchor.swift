// The anchor: which commits it must name before they are acknowledged, and which it may name a little later.

/// Acknowledged commits that the anchor does not name yet.
struct AnchorExposure {
    var commits = 0
    /// When the oldest of them was acknowledged, by the monotonic clock; meaningless while there is none.
    var sinceMilliseconds: UInt64 = 0
}

extension SecureDevice {
    /// Acknowledges `commit`, the last of `count` that became durable at once; confirms it first where the policy says
    /// so. Call with the monitor held, by the one thread that flushes.
    func acknowledge(_ commit: Root.Commit, count: Int) throws(DeviceError) {
        let now = options.monotonicClock()
        if anchor != nil {
            if log.exposure.commits == 0 { log.exposure.sinceMilliseconds = now }
            let age = now &- log.exposure.sinceMilliseconds
            if log.anchorPolicy.isReached(commits: log.exposure.commits + count, age: age) {
                try confirm(commit)
            } else {
                // The thread that confirms in time sleeps until there is something to confirm.
                if log.exposure.commits == 0 { monitor.signalWork() }
                log.exposure.commits += count
            }
        }
        log.ordered.removeAll { $0.sequence <= commit.sequence }
        if log.acknowledged.sequence < commit.sequence {
            log.acknowledged = commit
            table.advance(durable: commit.sequence, olderRoot: log.olderRootCommit)
        }
    }

    /// Has the anchor name the last acknowledged commit. Call with the monitor held; it is released meanwhile.
    func confirmAcknowledged() throws(DeviceError) {
        while log.isFlushing { monitor.wait() }
        guard log.exposure.commits > 0 else { return }
        if let latch { throw .latched(latch) }
        log.isFlushing = true
        defer {
            log.isFlushing = false
            monitor.broadcast()
        }
        try confirm(log.acknowledged)
    }

    /// Has the anchor ask for the present volume key alone, once all roots are under it. Until then the older ones are kept.
    func settleAnchor() throws(AnchorError) {
        let isSettled = monitor.locked {
            while log.isFlushing { monitor.wait() }
            if !log.isAnchorSettled { log.isFlushing = true }
            return log.isAnchorSettled
        }
        guard !isSettled else { return }
        var failure: AnchorError?
        do throws(AnchorError) { try anchor?.settle() } catch { failure = error }
        monitor.locked {
            log.isAnchorSettled = failure == nil
            log.isFlushing = false
            monitor.broadcast()
        }
        if let failure { throw failure }
    }

    /// Milliseconds until the policy wants the anchor moved, `nil` where it does not. Monitor held.
    var anchorDelayMilliseconds: UInt64? {
        guard log.exposure.commits > 0, log.anchorPolicy.milliseconds > 0, latch == nil else { return nil }
        let age = options.monotonicClock() &- log.exposure.sinceMilliseconds
        return UInt64(log.anchorPolicy.milliseconds) - min(age, UInt64(log.anchorPolicy.milliseconds))
    }

    /// Moves the anchor to `commit`. A failure latches: what the anchor holds is then unknown.
    private func confirm(_ commit: Root.Commit) throws(DeviceError) {
        guard let anchor else { return }
        let volume = context.superblock.volume
        let expected = log.anchored.map { AnchorValue(volume: volume, sequence: $0.sequence, tag: $0.tag) }
        if let expected, expected.sequence >= commit.sequence { return }
        let value = AnchorValue(volume: volume, sequence: commit.sequence, tag: commit.tag)
        monitor.unlock()
        var failure: AnchorError?
        do { try anchor.compareAndSwap(expected: expected, new: value) } catch { failure = error }
        monitor.lock()
        if let failure, !Sabotage.isOn(.ignoreAnchorConflict) {
            setLatch("the anchor did not confirm commit \(commit.sequence.rawValue): \(failure)")
            throw .latched("the anchor did not confirm commit \(commit.sequence.rawValue): \(failure)")
        }
        log.anchored = commit
        log.exposure.commits = 0
    }
}
