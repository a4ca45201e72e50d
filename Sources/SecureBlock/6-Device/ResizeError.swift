/// Why a device did not take another size. Unless the device says otherwise, all is as before.
public enum ResizeError: Error, Hashable, Sendable {
    /// No device can have that size.
    case unsuitable(blocks: UInt64)
    /// A block behind the new end holds something: the client discards what it gives up first.
    case inUse(LogicalBlock)
    /// A snapshot needs what is stored behind the new end.
    case neededBySnapshots
    /// A strict history policy keeps what is stored behind the new end.
    case neededByHistory
    /// A segment behind the new end holds a block that cannot be read, and so not moved.
    case unreadable(segment: UInt32)
    /// Too little is free to move what is stored behind the new end.
    case noSpace
    /// Something of the client's waits for a commit, which the device must not make for it.
    case uncommittedChanges
    /// The host cannot make the store larger.
    case host(HostError)
    case device(DeviceError)
}
