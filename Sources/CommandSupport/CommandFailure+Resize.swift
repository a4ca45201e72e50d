public import EncFS
public import SecureBlock

extension CommandFailure {
    /// The volume at `volume` did not take another size.
    public init(_ error: ResizeError, volume: String) {
        switch error {
        case .unsuitable(let blocks):
            self.init(.resizeRefused, "no volume can have \(blocks) blocks", at: volume)
        case .inUse(let block):
            self.init(
                .resizeRefused, "something is stored behind the new end, at \(block)", at: volume,
                advice: "Whoever uses the volume as a disk gives up its end first.")
        case .neededBySnapshots:
            self.init(
                .resizeRefused, "a snapshot needs what is stored behind the new end", at: volume,
                advice: "casemate snapshot delete those that are not needed, or wait for casemate fsck to end.")
        case .neededByHistory:
            self.init(
                .resizeRefused, "history that is kept strictly needs what is stored behind the new end", at: volume,
                advice: "casemate history --keep none lets go of it.")
        case .unreadable(let segment):
            self.init(
                .resizeRefused, "segment \(segment) holds what cannot be read, and so not moved", at: volume,
                advice: "casemate fsck --read-data names the files.")
        case .noSpace:
            self.init(
                .resizeRefused, "too little is free to move what is stored behind the new end", at: volume,
                advice: "Delete something in it, or choose a larger size.")
        case .uncommittedChanges:
            self.init(.resizeRefused, "somebody writes to the volume", at: volume, advice: "Try again.")
        case .host(let error): self.init(error, volume: volume)
        case .device(let error): self.init(error, volume: volume)
        }
    }

    /// The filesystem on the volume at `volume` did not take another size.
    public init(resizing error: EncFSError, volume: String) {
        switch error {
        case .noSpace:
            self.init(
                .resizeRefused, "its files need more than that", at: volume,
                advice: "Delete something in it, or choose a larger size.")
        case .unsuitableOptions(let reason): self.init(.resizeRefused, reason, at: volume)
        default: self.init(error, volume: volume)
        }
    }
}
