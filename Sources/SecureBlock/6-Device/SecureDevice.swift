// Interface first; the engine follows.

/// What `create` makes.
public struct VolumeOptions: Sendable {
    /// Size of the virtual device in bytes, a multiple of ``blockBytes``.
    public var logicalBytes: UInt64
    /// Size of a segment in bytes; a power of two.
    public var segmentBytes: Int = 4 << 20
    /// Space beyond the logical size, in per mille of it, for the cleaner and what commits hold.
    public var sparePerMille: Int = 100
    public init(logicalBytes: UInt64) { self.logicalBytes = logicalBytes }
}

/// How a volume is opened.
public enum OpenMode: Sendable, Hashable {
    case readWrite
    case readOnly
    /// Read-only, as of an earlier commit that the chain still holds.
    case readOnlyAt(SequenceNumber)
}
