// After a rotation: what is still sealed under older volume keys is sealed again, data by relocation, pages by having a
// checkpoint write them. Once nothing needs an older key, the root lets go of it.

/// How far sealing again has come.
public struct ResealProgress: Sendable, Hashable {
    /// Segments that something still needs and that are sealed under an older volume key.
    public var segments: Int
    /// The volume keys before the present one that are still needed, by number.
    public var olderKeys: [UInt32]
    /// Of the segments, how many a snapshot pins: these stay until it is deleted.
    public var pinnedSegments: Int
    public var isDone: Bool { olderKeys.isEmpty }
}

extension SecureDevice {
    /// Segments that one pass takes.
    private static let segmentsInPass = 8

    /// Seals again everything that is under an older volume key, and returns when the root has let go of those keys, or
    /// when something keeps them: a snapshot, damage, or a full device. For a device with no client at work.
    /// - Parameter report: called after each pass.
    public func reseal(_ report: (ResealProgress) -> Void = { _ in }) throws(KeySlotChangeError) -> ResealProgress {
        try reseal(report) { () throws(KeySlotChangeError) in
            do throws(DeviceError) { try resealSome() } catch { throw .device(error) }
            try settleReseal()
        }
    }

    /// Repeats `pass`, which is ``resealSome()`` and ``settleReseal()`` as the client wants them, until nothing is under an
    /// older key, three in a row have changed nothing, or nobody wants more.
    package func reseal<Failure: Error>(
        while isWanted: () -> Bool = { true }, _ report: (ResealProgress) -> Void, pass: () throws(Failure) -> Void
    ) throws(Failure) -> ResealProgress {
        var progress = resealProgress
        var stalled = 0
        while !progress.isDone, stalled < 3, isWanted() {
            try pass()
            let now = resealProgress
            stalled = now == progress ? stalled + 1 : 0
            progress = now
            report(progress)
        }
        return progress
    }

    /// One pass: moves some of what is under an older volume key. It counts once ``settleReseal()``, or the client's
    /// commits and a checkpoint, have stored it.
    public func resealSome() throws(DeviceError) {
        try monitor.locked { () throws(DeviceError) in try holdMaintenance() }
        defer { monitor.locked { releaseMaintenance() } }
        try resealPass()
    }

    /// Stores what passes have moved, durable on return, and lets go of older keys that nothing needs. For a device whose
    /// client has committed everything and stands still.
    /// - Throws: ``KeySlotChangeError/uncommittedChanges`` otherwise.
    public func settleReseal() throws(KeySlotChangeError) {
        try checkQuiet(false)
        let before = monitor.locked { log.counters.checkpoints }
        do throws(DeviceError) {
            try checkpoint(false) { $0.log.counters.checkpoints > before }
            // What needs an older key no more is said by the next roots.
            if monitor.locked({ log.olderKeys.isEmpty }) { try checkpoint(false) { !$0.log.checkpointWanted } }
        } catch { throw .device(error) }
    }

    public var resealProgress: ResealProgress {
        monitor.locked {
            let old = context.epochs.indices(before: context.keys.version)
            var progress = ResealProgress(segments: 0, olderKeys: log.olderKeys.map(\.version), pinnedSegments: 0)
            guard !old.isEmpty else { return progress }
            for segment in 0..<context.geometry.segmentCount where isNeeded(segment) {
                guard old.contains(table[segment].epochIndex) else { continue }
                progress.segments += 1
                if table[segment].pins > 0 { progress.pinnedSegments += 1 }
            }
            return progress
        }
    }

    /// Whether something in use lies in the segment. History by the way does not count. Monitor held.
    private func isNeeded(_ segment: UInt32) -> Bool {
        let entry = table[segment]
        guard entry.state == .used else { return entry.live > 0 }
        return !table.isReusable(segment, durable: log.acknowledged.sequence, olderRoot: log.olderRootCommit)
    }

    /// One pass: some segments evacuated, of data and of pages. The next commit and checkpoint make it count. Call without
    /// the monitor, by whoever maintains.
    func resealPass() throws(DeviceError) {
        let old = monitor.locked { context.epochs.indices(before: context.keys.version) }
        guard !old.isEmpty else { return }
        var next: UInt32 = 0
        var found = false
        for _ in 0..<Self.segmentsInPass {
            let victim = monitor.locked { () -> UInt32? in
                guard latch == nil, reusableNow > reserved(.cleaning) else { return nil }
                return (next..<context.geometry.segmentCount).first { segment in
                    table.isVictim(segment) && old.contains(table[segment].epochIndex)
                }
            }
            guard let victim else { break }
            next = victim + 1
            found = true
            do throws(DeviceError) {
                try evacuate(victim)
            } catch {
                guard error == .noSpace else { throw error }
                try monitor.locked { () throws(DeviceError) in try closeOpen(.clean) }
                break
            }
        }
        guard found else { return }
        monitor.locked {
            log.checkpointWanted = true
            log.bothRootsWanted = true
            if log.hasUncommitted { log.commitWanted = true }
        }
    }

    /// Lets go of older volume keys that nothing needs: no segment, no page, no snapshot, and no history that is asked
    /// for. History that is there by the way ends where nothing under an older key was in use any more: a commit under
    /// the present key may have blocks that were sealed again only later. Monitor held.
    func dropOlderKeys() {
        guard !log.olderKeys.isEmpty, log.isAnchorSettled else { return }
        let old = context.epochs.indices(before: context.keys.version)
        let isFree = !(0..<context.geometry.segmentCount).contains {
            isNeeded($0) && old.contains(table[$0].epochIndex)
        }
        guard isFree || Sabotage.isOn(.oldKeyDroppedEarly), log.roots.allSatisfy({ $0.commit >= log.keySince }),
            log.retention.policy.isNone || log.historyHorizon >= historyEnd(under: old)
        else {
            resealIsDue = maintenance != nil && !isFree
            return
        }
        log.historyHorizon = max(log.historyHorizon, historyEnd(under: old))
        context.epochs.prune { !old.contains($0) }
        context.keys.drop(log.olderKeys.map(\.version))
        log.olderKeys = []
        log.epochsChanged = true
        log.checkpointWanted = true
        log.bothRootsWanted = true
    }

    /// Before this commit no root is whole without the older volume keys' epochs. Monitor held.
    private func historyEnd(under old: Set<UInt32>) -> SequenceNumber {
        (0..<context.geometry.segmentCount).reduce(log.keySince) {
            old.contains(table[$1].epochIndex) ? max($0, table.historyEnd($1)) : $0
        }
    }
}
