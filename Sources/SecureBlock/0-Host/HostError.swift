/// What a host call failed with. Offsets are in bytes of the backing store.
public enum HostError: Error, Hashable, Sendable {
    /// A call failed with an error number of `errno(3)`, after `EINTR` and short transfers were dealt with.
    case failed(call: String, errno: Int32, offset: UInt64?)
    /// The range lies past the end of the store.
    case beyondEnd(offset: UInt64)
    /// The host has no space left (`ENOSPC`, `EDQUOT`).
    case noSpace
    /// Somebody else has the volume open for writing.
    case inUse
    /// The path cannot be opened; the error number says why.
    case unopenable(path: String, errno: Int32)
    /// Neither a regular file nor a block device.
    case unsuitable(path: String)
    /// ``BlockHost/close()`` was called.
    case closed
}
