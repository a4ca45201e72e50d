public import SecureBlock

extension CommandFailure {
    /// The history policy of the volume at `volume` could not be changed.
    public init(_ error: ReshapeError, volume: String) {
        switch error {
        case .uncommittedChanges: self.init(.internal, "changes wait for a commit", at: volume)
        case .volume(let error): self.init(error, volume: volume)
        case .device(let error): self.init(error, volume: volume)
        }
    }
}
