public import SecureBlock

extension CommandFailure {
    /// A snapshot of the volume at `volume` that could not be made or deleted.
    public init(_ error: SnapshotError, volume: String) {
        switch error {
        case .nameTaken(let name):
            self.init(
                .snapshotRefused, "there is a snapshot \"\(name)\" already", at: volume,
                advice: "Choose another name, or delete that one: casemate snapshot delete.")
        case .noSuchSnapshot(let name): self.init(VolumeError.noSuchSnapshot(name), volume: volume)
        case .tooMany:
            self.init(
                .snapshotRefused, "there are \(SecureDevice.maximumSnapshots) snapshots, and no more can be",
                at: volume, advice: "Delete one that is not needed.")
        case .inUse(let name):
            self.init(.snapshotRefused, "snapshot \"\(name)\" is in use", at: volume, advice: "Unmount it first.")
        case .uncommittedChanges: self.init(.internal, "changes wait for a commit", at: volume)
        case .noSpace:
            self.init(
                .volumeFull, "too little is free beside what a snapshot would keep", at: volume,
                advice: "Delete something in it or another snapshot, or make the volume larger.")
        case .damaged(let name, let what):
            self.init(
                .metadataDamaged, "snapshot \"\(name)\" is damaged, so nobody can tell what it keeps: \(what)",
                at: volume, advice: "casemate fsck tells more.")
        case .device(let error): self.init(error, volume: volume)
        }
    }
}
