import Glibc

extension SecureDevice {
    /// Starts the thread that writes checkpoints, where the options ask for one.
    func startMaintenance() throws(HostError) {
        guard options.maintenance == .background, mode == .readWrite else { return }
        guard let thread = HostThread({ [self] in maintain() }) else {
            throw .failed(call: "pthread_create", errno: EAGAIN, offset: nil)
        }
        monitor.locked {
            maintenance = thread
            resealIsDue = !log.olderKeys.isEmpty
            monitor.signalWork()
        }
    }

    /// The thread's body. It holds the device alive; ``close()`` ends it.
    private func maintain() {
        while true {
            monitor.lock()
            while isMaintaining || !maintenanceIsDue && (!backingIsDue || latch != nil), !maintenanceStops {
                waitForMaintenance()
            }
            if maintenanceStops {
                monitor.unlock()
                return
            }
            guard maintenanceIsDue else {
                monitor.unlock()
                // A failure has latched the device, which is what everybody hears of.
                do throws(DeviceError) { try backAhead() } catch { continue }
                continue
            }
            isMaintaining = true
            monitor.unlock()
            maintainOnce()
            monitor.locked {
                isMaintaining = false
                monitor.broadcast()
            }
        }
    }

    /// Runs `body` while neither checkpoints are written nor anything is cleaned. Call without the monitor.
    func maintaining<Result>(_ body: () throws(DeviceError) -> Result) throws(DeviceError) -> Result {
        try monitor.locked { () throws(DeviceError) in
            while isMaintaining {
                try checkWritable()
                monitor.wait()
            }
            try checkWritable()
            isMaintaining = true
        }
        defer { monitor.locked { releaseMaintenance() } }
        return try body()
    }

    /// Waits until no checkpoint is under way and the cleaner rests, and keeps it so. Monitor held; it is released meanwhile.
    func holdMaintenance() throws(DeviceError) {
        while isMaintaining || checkpoint != nil {
            try checkWritable()
            try maintainOrWait()
        }
        isMaintaining = true
    }

    /// Monitor held.
    func releaseMaintenance() {
        isMaintaining = false
        monitor.signalWork()
        monitor.broadcast()
    }

    /// Does what maintenance has to do, where no thread does it; else wakes that thread and waits for a change. Monitor
    /// held; it is released meanwhile.
    func maintainOrWait() throws(DeviceError) {
        guard maintenance == nil, !isMaintaining else {
            monitor.signalWork()
            return monitor.wait()
        }
        try monitor.unlocked { () throws(DeviceError) in try maintainInline() }
    }

    /// Sleeps until there may be something to do, and moves the anchor when its time has come. Monitor held.
    private func waitForMaintenance() {
        guard let delay = anchorDelayMilliseconds else { return monitor.waitForWork() }
        guard delay == 0 else { return monitor.waitForWork(milliseconds: delay) }
        // A failure has latched the device, which is what everybody hears of.
        do throws(DeviceError) { try confirmAcknowledged() } catch { return }
    }

    /// Monitor held.
    var maintenanceIsDue: Bool { latch == nil && (checkpoint != nil || cleaningIsDue || resealIsDue) }

    /// One checkpoint, if one is frozen, and one pass of the cleaner, if segments are short.
    private func maintainOnce() {
        do throws(DeviceError) {
            if try writeCheckpoint(), options.returnsFreeSpace { try returnSurplus() }
            if monitor.locked({ cleaningIsDue }) { try clean() }
            let reseals = monitor.locked { () -> Bool in
                defer { resealIsDue = false }
                return resealIsDue
            }
            if reseals { try resealPass() }
        } catch { abandonMaintenance(error) }
    }

    /// A checkpoint that fails leaves the roots as they are; the device is latched already, or latches now.
    private func abandonMaintenance(_ error: DeviceError) {
        monitor.locked {
            setLatch("checkpoint: \(error)")
            checkpoint = nil
            cleaningIsDue = false
        }
    }

    /// Does what is due on this thread. Call without the monitor.
    func maintainInline() throws(DeviceError) {
        monitor.lock()
        guard maintenanceIsDue, !isMaintaining else {
            monitor.unlock()
            return
        }
        isMaintaining = true
        monitor.unlock()
        maintainOnce()
        let failure = monitor.locked { () -> String? in
            isMaintaining = false
            monitor.broadcast()
            return latch
        }
        if let failure { throw .latched(failure) }
    }

    /// Makes everything durable, writes a last checkpoint, and lets go of the host.
    ///
    /// What was written since the last commit is **not** committed: only the client commits.
    /// - Throws: what kept the last checkpoint from being written; the host is released all the same, and the volume
    ///   opens at its last acknowledged commit.
    public func close() throws(DeviceError) {
        monitor.lock()
        guard !isClosed else {
            monitor.unlock()
            return
        }
        if isClosing {
            while !isClosed { monitor.wait() }
            monitor.unlock()
            return
        }
        isClosing = true
        let thread = maintenance
        maintenanceStops = true
        monitor.signalWork()
        monitor.unlock()
        thread?.join()
        streamAhead.stop()
        streamAhead.join()
        monitor.locked {
            maintenance = nil
            monitor.broadcast()
        }

        var failure: DeviceError?
        if mode == .readWrite {
            do throws(DeviceError) { try finish() } catch { failure = error }
            // Whoever closes a device is told what ended its writing, also when nothing was left to do.
            if failure == nil, let reason = monitor.locked({ latch }) { failure = .latched(reason) }
        }
        monitor.locked {
            isClosed = true
            monitor.broadcast()
        }
        if let onClose { onClose() } else { context.host.close() }
        if let failure { throw failure }
    }

    /// The last checkpoint of a writer, when something was committed since the one before.
    private func finish() throws(DeviceError) {
        monitor.lock()
        if let latch {
            monitor.unlock()
            throw .latched(latch)
        }
        let ordered = log.ordered.last
        monitor.unlock()
        if let ordered { try awaitDurable(ordered.sequence) }
        try maintainInline()
        monitor.lock()
        // Where nothing waits for the client's commit, one more commit is the same state, and a checkpoint can be of it.
        let isNew =
            log.checkpointWanted
            || log.acknowledged.sequence > max(log.roots[0].commit, log.roots[1].commit)
        guard isNew, !log.hasUncommitted || Sabotage.isOn(.closeCommits) else {
            defer { monitor.unlock() }
            return try confirmAcknowledged()
        }
        do throws(DeviceError) {
            try withBarrier { () throws(DeviceError) in
                log.blocksSinceCheckpoint = Int.max / 2
                _ = try orderCommit()
            }
        } catch {
            monitor.unlock()
            throw error
        }
        monitor.unlock()
        try maintainInline()
        try monitor.locked { () throws(DeviceError) in try confirmAcknowledged() }
    }
}
