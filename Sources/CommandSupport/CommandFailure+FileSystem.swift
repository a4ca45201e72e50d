public import EncFS

extension CommandFailure {
    /// A filesystem on the volume at `path` that could not be made, mounted, closed or checked.
    public init(_ error: EncFSError, volume path: String) {
        switch error {
        case .notFormatted:
            self.init(
                .filesystemDamaged, "the device holds no filesystem", at: path,
                advice: "It was made but never finished, or is used as a plain device. casemate create makes both.")
        case .newerVersion:
            self.init(
                .newerVersion, "the filesystem has a newer format version", at: path,
                advice: "Use a newer Casemate.")
        case .unknownFeatures:
            self.init(
                .unknownFeatures, "the filesystem uses unknown features", at: path, advice: "Use a newer Casemate.")
        case .corrupt(let what):
            self.init(
                .filesystemDamaged, "the filesystem is damaged: \(what)", at: path,
                advice: "casemate fsck tells more; casemate mount --at shows an earlier commit.")
        case .device(let error): self.init(error, volume: path)
        case .noSpace: self.init(.volumeFull, "no room for the filesystem", at: path)
        case .readOnly: self.init(.readOnlyHost, "opened read-only", at: path)
        case .unsuitableOptions(let reason): self.init(.usage, reason, at: path)
        case .latched(let reason):
            self.init(
                .hostFailed, "writing ended: \(reason)", at: path,
                advice: "What was synced is safe. Mend the cause, unmount and mount again.")
        case .system(let reason): self.init(.internal, reason, at: path)
        }
    }
}
