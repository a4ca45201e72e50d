import SecureBlock

/// One thing that happened to a ``CrashHost``, in order; its index is its place in the log.
public enum SimEvent: Sendable {
    /// A write was begun.
    case write(SimWrite)
    /// A flush ended. A failed one made nothing durable, and what it should have made durable may be lost for good.
    case flush(failed: Bool)
    /// Space was taken; `grewTo` is the store's new size in bytes, if it grew.
    case allocate(offset: UInt64, byteCount: UInt64, grewTo: UInt64?)
    /// A range was given back: it reads as zeros from here on.
    case punch(offset: UInt64, byteCount: UInt64)
    /// The store was made to end at `byteCount`.
    case cut(to: UInt64)
    /// The anchor took a new value.
    case anchor(AnchorValue)
    /// The test noted something: see ``CrashHost/mark(_:)``.
    case mark(UInt64)
}

/// A write in the log.
public struct SimWrite: Sendable {
    public let offset: UInt64
    public let bytes: [UInt8]
    /// It was to be durable when complete.
    public let durable: Bool
    /// It was reported as failed; some of it may have reached the disk.
    public let failed: Bool
    /// How many events there were when somebody had waited for it; `nil` while it is under way.
    public internal(set) var completedAt: Int?

    /// The unit in which a disk writes all or nothing.
    public static let sectorBytes = 512

    var sectorCount: Int { (bytes.count + Self.sectorBytes - 1) / Self.sectorBytes }
}
