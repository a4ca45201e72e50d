/// Why a volume's history policy was not changed. Unless the device says otherwise, all is as before.
public enum ReshapeError: Error, Hashable, Sendable {
    /// Something of the client's waits for a commit, which the device must not make for it.
    case uncommittedChanges
    case volume(VolumeError)
    case device(DeviceError)
}

extension SecureDevice {
    /// How much history is to be kept.
    public var historyPolicy: HistoryPolicy { monitor.locked { log.retention.policy } }

    /// Changes how much history is to be kept; durable on return. What is there already counts.
    public func setHistoryPolicy(_ policy: HistoryPolicy) throws(ReshapeError) {
        try reshaping { () throws(ReshapeError) in
            var marks: [Retention.Mark] = []
            let (copy, horizon) = monitor.locked { (log.rootCopy, log.historyHorizon) }
            do throws(VolumeError) {
                if !policy.isNone, let copy, let root = try HistoryWalk.read(copy, context) {
                    marks = try HistoryWalk(
                        context, newest: root, bound: root.commit.sequence, horizon: horizon
                    ).marks()
                }
            } catch { throw .volume(error) }
            try reshapeCheckpoint { log.retention.adopt(policy, marks) }
        }
    }

    /// The commits that can be opened, newest first, up to the newest root's.
    public func history() throws(VolumeError) -> [CommitRecord] {
        let (copy, horizon) = monitor.locked { (log.rootCopy, log.historyHorizon) }
        guard let copy, let root = try HistoryWalk.read(copy, context) else { return [] }
        return try HistoryWalk(context, newest: root, bound: root.commit.sequence, horizon: horizon).commits()
    }

    /// A checkpoint of the present state with `change`.
    func reshapeCheckpoint(_ change: () throws(DeviceError) -> Void) throws(ReshapeError) {
        do throws(DeviceError) {
            if try checkpointNow(nil, change) != nil { return try anchorRoots() }
        } catch { throw .device(error) }
        throw .uncommittedChanges
    }
}
