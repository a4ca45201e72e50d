extension SecureDevice {
    /// Whether hardly more is free than commits and checkpoints need: whoever keeps space for convenience should let go.
    public var isShortOfSpace: Bool { monitor.locked { reusableAfterCommit <= reserved(.data) + 2 } }
}
