// The host's space for segments: had before anything is sealed for it, and given back when a segment is surplus. The monitor is
// held, but for what its name says.

extension SecureDevice {
    /// Segments that have their space before data may take one: what data must leave to others, so that a host that gives
    /// no more is no worse than a volume that has no more.
    private var backedReserve: Int { reserved(.data) }

    /// Gets space for segments ahead, so that data never takes the last that commits would need.
    /// - Returns: `false` when the host has none.
    @discardableResult
    func backSegments() throws(DeviceError) -> Bool {
        while table.count(from: .ready, backedOnly: true) <= backedReserve, let segment = table.bestUnbacked() {
            guard try back(segment) else { return false }
        }
        return true
    }

    /// Whether so few segments have their space that more should get it before a writer must wait for it. Monitor held.
    var wantsBacking: Bool {
        guard !log.hostIsFull, table.bestUnbacked() != nil else { return false }
        return table.count(from: .ready, backedOnly: true) <= backedReserve + 4
    }

    /// Gets space for segments while nobody waits for it, a segment at a time. Call without the monitor.
    func backAhead() throws(DeviceError) {
        while true {
            // As a reader, so that nobody takes the segment meanwhile.
            let segment = monitor.locked { () -> UInt32? in
                guard latch == nil, !maintenanceStops, wantsBacking, let segment = table.bestUnbacked() else {
                    backingIsDue = false
                    return nil
                }
                table.addReader(segment)
                return segment
            }
            guard let segment else { return }
            var failure: HostError?
            do throws(HostError) { try allocate(segment) } catch { failure = error }
            try monitor.locked { () throws(DeviceError) in
                table.removeReader(segment)
                _ = try settleBacking(segment, failure)
            }
        }
    }

    private func allocate(_ segment: UInt32) throws(HostError) {
        let first = context.geometry.physical(LogPosition(segment: segment, block: 0))
        try context.host.allocate(offset: context.offset(first), byteCount: UInt64(context.geometry.segmentBytes))
    }

    /// The best segment, once it has space; where the host has none, the best of those that do.
    func backedChoice() throws(DeviceError) -> UInt32? {
        guard let best = table.best() else { return nil }
        if table.isBacked(best), !table.isBackingAssumed(best) { return best }
        return try back(best) ? best : table.bestBacked()
    }

    /// - Returns: `false` when the host has no space for the segment.
    func back(_ segment: UInt32) throws(DeviceError) -> Bool {
        var failure: HostError?
        do throws(HostError) { try allocate(segment) } catch { failure = error }
        return try settleBacking(segment, failure)
    }

    /// The host has been asked for the segment's space. Monitor held.
    private func settleBacking(_ segment: UInt32, _ failure: HostError?) throws(DeviceError) -> Bool {
        guard let failure else {
            table.setBacked(segment, true)
            log.hostIsFull = false
            return true
        }
        guard failure == .noSpace else {
            setLatch("allocating segment \(segment): \(failure)")
            throw .latched("allocating segment \(segment): \(failure)")
        }
        table.setBacked(segment, false)
        log.hostIsFull = true
        return false
    }

    /// Segments that keep their space although nothing is in them: those are written next.
    private var keptBacked: Int { backedReserve + 8 }

    /// From the checkpoint that freezes now on, segments that are to be returned hold no history.
    func endHistoryOfSurplus() {
        guard table.count(from: .ready, backedOnly: true) > keptBacked else { return }
        let kept = log.retention.kept(now: options.clock(), logBlocks: log.logBlocks)
        for segment in 0..<context.geometry.segmentCount where table.isReturnable(segment) {
            let end = table.historyEnd(segment)
            if end <= kept ?? end { log.historyHorizon = max(log.historyHorizon, end) }
        }
    }

    /// Gives surplus segments' space back, those whose history neither root counts on any more. Call without the monitor.
    func returnSurplus() throws(DeviceError) {
        for segment in 0..<context.geometry.segmentCount {
            // As a reader, so that nobody takes the segment meanwhile.
            let isChosen = monitor.locked { () -> Bool in
                let horizon = min(log.roots[0].historyHorizon, log.roots[1].historyHorizon)
                guard latch == nil, !maintenanceStops, table.count(from: .ready, backedOnly: true) > keptBacked,
                    table.isReturnable(segment), table.historyEnd(segment) <= horizon
                else { return false }
                table.addReader(segment)
                return true
            }
            guard isChosen else { continue }
            let first = context.geometry.physical(LogPosition(segment: segment, block: 0))
            var failure: HostError?
            do throws(HostError) {
                try context.host.punch(
                    offset: context.offset(first), byteCount: UInt64(context.geometry.segmentBytes))
            } catch { failure = error }
            try monitor.locked { () throws(DeviceError) in
                table.removeReader(segment)
                if let failure {
                    setLatch("returning segment \(segment): \(failure)")
                    throw .latched("returning segment \(segment): \(failure)")
                }
                table.setBacked(segment, false)
            }
        }
    }
}
