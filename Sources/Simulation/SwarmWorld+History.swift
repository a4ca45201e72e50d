import SecureBlock
import SimHost

// Snapshots, and commits of the past. Every snapshot has a name of its own for ever, so a name tells what it holds,
// whatever the host does.

/// Which snapshots a volume has.
struct SwarmSnapshots: Sendable {
    /// Those that were made and not deleted.
    var made: Set<String> = []
    /// Those of which nobody knows: making or deleting was cut off.
    var uncertain: Set<String> = []

    /// Writes may find no space while something keeps it.
    var mayTakeSpace: Bool { !made.isEmpty || !uncertain.isEmpty || keepsHistory }
    /// A policy was set under which history goes before writes.
    var keepsHistory = false
}

extension SwarmWorld {
    func createSnapshot() {
        guard open(), commit(waits: true), let device else { return }
        value += 1
        let text = "s\(value)"
        guard let name = SnapshotName(text) else { return }
        everSnapshots[text] = model
        let before = provocations
        do throws(SnapshotError) {
            _ = try device.createSnapshot(name)
            snapshots.made.insert(text)
            changes[.snapshotMade, default: 0] += 1
            noteOwnCommits(device)
        } catch {
            note(error, at: "snapshot")
            if error == .noSpace || error == .uncommittedChanges || error == .tooMany { return }
            snapshots.uncertain.insert(text)
            giveUpReshaping("a snapshot", error, before)
        }
    }

    func deleteSnapshot() {
        guard open(), commit(waits: true), let device else { return }
        let present = device.snapshots.map(\.name)
        guard let name = present.randomElement(using: &random) else { return }
        delete(name, device)
    }

    private func delete(_ name: SnapshotName, _ device: SecureDevice) {
        let before = provocations
        do throws(SnapshotError) {
            try device.deleteSnapshot(name)
            snapshots.made.remove(name.text)
            changes[.snapshotDeleted, default: 0] += 1
            snapshots.uncertain.remove(name.text)
            noteOwnCommits(device)
        } catch {
            note(error, at: "delete snapshot")
            if error == .uncommittedChanges { return }
            if snapshots.made.remove(name.text) != nil { snapshots.uncertain.insert(name.text) }
            giveUpReshaping("deleting a snapshot", error, before)
        }
    }

    func setHistoryPolicy(blocks: Int, isStrict: Bool) {
        guard open(), commit(waits: true), let device else { return }
        let before = provocations
        let policy = HistoryPolicy(bytes: UInt64(blocks * blockBytes), isStrict: isStrict && blocks > 0)
        snapshots.keepsHistory = snapshots.keepsHistory || policy.isStrict
        do throws(ReshapeError) {
            try device.setHistoryPolicy(policy)
            snapshots.keepsHistory = policy.isStrict
            noteOwnCommits(device)
        } catch {
            note(error, at: "policy")
            if error == .uncommittedChanges { return }
            giveUpReshaping("a history policy", error, before)
        }
    }

    /// The device took commits of its own, of the state that was committed.
    func noteOwnCommits(_ device: SecureDevice) {
        let commit = device.status.commit.rawValue
        rememberCommit(commit, model)
        branch.acknowledge(commit)
    }

    func giveUpReshaping(_ what: String, _ error: any Error, _ before: Int) {
        if !isProvoked(since: before) { violate(.progress, "\(what): \(error)") }
        branch.cutOff(model)
        giveUp()
    }

    /// Holds the snapshots that a volume opened with against those that it must have.
    func acceptSnapshots(_ opened: SecureDevice) {
        let present = Set(opened.snapshots.map(\.name.text))
        for name in present.sorted() where everSnapshots[name] == nil {
            violate(.rightBytesOrError, "there is a snapshot \(name) that nobody made")
        }
        guard !mayBeWrong else { return }
        if let lost = snapshots.made.subtracting(present).min() {
            violate(.oneCommit, "snapshot \(lost) is gone")
        }
        if let extra = present.subtracting(snapshots.made).subtracting(snapshots.uncertain).min() {
            violate(.oneCommit, "snapshot \(extra) is there again")
        }
        snapshots.made = present
        snapshots.uncertain = []
    }

    /// Every snapshot holds what was committed when it was made.
    func lookAtSnapshots() {
        guard open(), let device else { return }
        for snapshot in device.snapshots {
            let before = provocations
            do throws(VolumeError) {
                let opened = try device.openSnapshot(snapshot.name)
                let (blocks, wipes) = opened.swarmContents()
                if !wipes { violate(.rightBytesOrError, "a failed read of a snapshot left bytes in the buffer") }
                let contents = everSnapshots[snapshot.name.text] ?? []
                if !Self.agree(blocks, contents) {
                    violate(.oneCommit, "\(snapshot.name.text): \(Self.difference(blocks, contents))")
                }
                if blocks.contains(.unreadable), !isProvoked(since: before) {
                    violate(.oneCommit, "\(snapshot.name.text) cannot be read whole")
                }
                try opened.swarmClose()
            } catch {
                note(error, at: "look at a snapshot")
                if !isProvoked(since: before) { violate(.progress, "\(snapshot.name.text): \(error)") }
            }
        }
    }

    /// Every commit that is listed opens as what it was.
    func lookBack() {
        guard host.hasPower else { return }
        let store = host.contents
        var listed: [CommitRecord] = []
        do {
            listed = try SecureDevice.history(
                MemoryBlockHost(contents: store), credential: try Self.credential.get())
        } catch {
            note(error, at: "history")
            if !mayBeWrong { violate(.progress, "no history: \(error)") }
            return
        }
        note("history: \(listed.count) commits")
        for record in [listed.first, listed.randomElement(using: &random), listed.last].compactMap(\.self) {
            lookBack(record.sequence, store)
        }
    }

    private func lookBack(_ commit: SequenceNumber, _ store: SparseBytes) {
        do {
            let opened = try SecureDevice.open(
                MemoryBlockHost(contents: store), credential: try Self.credential.get(), anchor: anchorCopy(),
                mode: .readOnlyAt(commit), options: deviceOptions)
            let (blocks, _) = opened.swarmContents()
            let known = mayBeWrong ? nil : branch.past(at: commit.rawValue)
            let candidates = known ?? everCommitted.values.flatMap(\.self) + branch.untold
            if !candidates.contains(where: { Self.agree(blocks, $0) }) {
                violate(.oneCommit, "listed commit \(commit): \(Self.difference(blocks, known?.first))")
            }
            if blocks.contains(.unreadable), !mayBeWrong {
                violate(.oneCommit, "listed commit \(commit) cannot be read whole")
            }
            try opened.close()
        } catch {
            note(error, at: "look back")
            if !mayBeWrong { violate(.progress, "listed commit \(commit) does not open: \(error)") }
        }
    }

    /// Gives back all space that something keeps.
    func letGoOfHistory() {
        guard snapshots.mayTakeSpace, open(), let device else { return }
        for name in device.snapshots.map(\.name) where self.device === device {
            guard commit(waits: true) else { return }
            delete(name, device)
        }
        setHistoryPolicy(blocks: 0, isStrict: false)
        snapshots.keepsHistory = false
    }
}

extension SecureDevice {
    fileprivate func swarmClose() throws(VolumeError) {
        do throws(DeviceError) { try close() } catch { throw .device(error) }
    }
}
