import Glibc

// Emptying the end of a volume, for it to be cut off: streams leave it, the cleaner's way moves what lives in it, and
// checkpoints let go of pages and records there.

extension SecureDevice {
    /// Rounds without anything moved before it is given up.
    private static let patience = 8

    /// Empties every segment from `end` on, which nothing is placed in any more, until ``SegmentTable/Keep/resize`` is released.
    /// - Parameter isStill: the client is still: what takes a commit may be done, and on return nothing there is needed.
    ///   Otherwise what can be moved now has been.
    func empty(
        behind end: UInt32, isStill: Bool, _ progress: (UInt64, UInt64) -> Void
    ) throws(ResizeError) {
        try checkMovable(behind: end)
        let total = load(behind: end)
        var least = total
        var idleRounds = 0
        while true {
            do throws(DeviceError) {
                try vacateStreams(behind: end)
                try evacuate(behind: end) { progress(total - min($0, total), total) }
            } catch {
                guard error == .noSpace else { throw .device(error) }
                // What was moved so far gives room with the next commit; the cleaner may find more.
                guard isStill else { return }
                try clean(error)
            }
            guard isStill else { return }
            try checkMovable(behind: end)
            if isEmptied(behind: end) { return progress(total, total) }
            try checkpointForResize()
            let left = load(behind: end)
            idleRounds = left < least ? 0 : idleRounds + 1
            least = min(least, left)
            if idleRounds > 2 {
                // Reads that are under way there.
                usleep(1000)
                guard idleRounds < (left > 0 ? Self.patience : 1000 * Self.patience) else { throw .noSpace }
            }
        }
    }

    private func clean(_ cause: DeviceError) throws(ResizeError) {
        try checkpointForResize()
        do throws(DeviceError) {
            _ = try maintaining { () throws(DeviceError) in try clean() }
        } catch { throw .device(error) }
    }

    private func checkpointForResize() throws(ResizeError) {
        do throws(DeviceError) {
            if try checkpointNow() == nil { throw DeviceError.commitRequired }
        } catch { throw error == .commitRequired ? .uncommittedChanges : .device(error) }
    }

    /// Has nothing be placed from `end` on, unless something there has to stay.
    private func checkMovable(behind end: UInt32) throws(ResizeError) {
        try monitor.locked { () throws(ResizeError) in
            do throws(DeviceError) { try checkWritable() } catch { throw .device(error) }
            let isStrict = log.retention.policy.isStrict
            for segment in end..<context.geometry.segmentCount {
                let entry = table[segment]
                if entry.pins > 0 || table[volatile: segment].keep.contains(.snapshot) { throw .neededBySnapshots }
                if entry.state == .damaged, table.load(segment) > 0 { throw .unreadable(segment: segment) }
                // What is moved away dies now, and states before it need it where it was.
                if isStrict, table.load(segment) > 0 || isKept(table.historyEnd(segment)) { throw .neededByHistory }
            }
            for segment in end..<context.geometry.segmentCount { table.keep(segment, .resize) }
        }
    }

    private func load(behind end: UInt32) -> UInt64 {
        monitor.locked { (end..<context.geometry.segmentCount).reduce(0) { $0 + UInt64(table.load($1)) } }
    }

    private func isEmptied(behind end: UInt32) -> Bool {
        monitor.locked { (end..<context.geometry.segmentCount).allSatisfy { table.isPastNeed($0) } }
    }

    private func evacuate(behind end: UInt32, _ left: (UInt64) -> Void) throws(DeviceError) {
        try monitor.locked { () throws(DeviceError) in try awaitWrites(through: log.last.sequence) }
        for segment in end..<context.geometry.segmentCount where monitor.locked({ table.isVictim(segment) }) {
            try maintaining { () throws(DeviceError) in
                do throws(DeviceError) { try evacuate(segment) } catch {
                    try monitor.locked { () throws(DeviceError) in try closeOpen(.clean) }
                    throw error
                }
            }
            left(load(behind: end))
        }
    }

    /// Moves every stream that is, or will go, behind `end`.
    private func vacateStreams(behind end: UInt32) throws(DeviceError) {
        try maintaining { () throws(DeviceError) in
            try monitor.locked { () throws(DeviceError) in
                try withBarrier { () throws(DeviceError) in
                    for id in StreamID.allCases { try vacate(id, behind: end) }
                }
            }
        }
    }

    /// Where a stream goes next is announced by the records before, so it is led away by records: an empty one announces
    /// another segment (I4), and once that is in the chain, the stream may leave for it at any place. Monitor held.
    private func vacate(_ id: StreamID, behind end: UInt32) throws(DeviceError) {
        let index = Int(id.rawValue)
        func isBehind(_ segment: UInt32) -> Bool { segment >= end }
        while isBehind(log.streams[index].at.segment) || isBehind(log.streams[index].next.segment) {
            try closeAndDrain(id)
            guard Int(log.streams[index].at.block) < context.geometry.segmentBlocks else {
                // No room for a record: the announced segment is the only way on.
                try enterNextSegment(id, .metadata)
                continue
            }
            if isBehind(log.streams[index].next.segment) {
                let next = try takeSegment(id, .metadata)
                table.setHeld(log.streams[index].next.segment, false)
                log.streams[index].next = next
            }
            try beginRecord(id, needsRoom: false, .metadata)
            try closeAndDrain(id)
            if isBehind(log.streams[index].at.segment) { try enterNextSegment(id, .metadata) }
        }
    }
}
