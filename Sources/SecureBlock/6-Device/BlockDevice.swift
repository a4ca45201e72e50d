/// A block device whose only durable states are its commits: what EncFS stands on.
///
/// Between two commits everything is visible to readers and nothing is durable. After a crash, what opens is exactly
/// the state of one commit: the last whose ticket returned, or a later one that was ordered.
///
/// Calls may come from any thread; overlapping writes to one block from two threads land in either order.
public protocol BlockDevice: AnyObject, Sendable {
    /// Size in blocks of ``blockBytes``.
    var logicalBlockCount: UInt64 { get }
    var isReadOnly: Bool { get }

    /// Reads whole blocks. Blocks never written, and discarded ones, read as zeros.
    /// - Parameter buffer: a multiple of ``blockBytes`` in length. Wiped when the call throws.
    /// - Throws: ``DeviceError/unreadable(_:_:)`` for a block that does not verify, naming the first.
    func read(_ first: LogicalBlock, into buffer: UnsafeMutableRawBufferPointer) throws(DeviceError)

    /// Writes whole blocks; visible to readers on return, durable with the next commit. On an error some of the blocks
    /// may have been written.
    /// - Throws: ``DeviceError/noSpace``, ``DeviceError/commitRequired``, ``DeviceError/latched(_:)``.
    func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError)

    /// As ``write(_:_:)``, and says when the write is as good as done.
    /// - Parameter accepted: called once at most, on this thread and outside all locks of the device, when the write can fail
    ///   no more but with the device itself: it is latched then, and no later commit has any of it. Nothing of the bytes
    ///   need be visible yet. A device that can't tell early does not call it.
    func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer, accepted: () -> Void) throws(DeviceError)

    /// As ``write(_:_:)``, for what a client must still write to make a commit: it may use space that other writes may
    /// not, so that a full device can be committed.
    func writeForCommit(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError)

    /// Forgets blocks: they read as zeros, and their space returns after the next durable commit.
    ///
    /// A long range is worked off in parts, so that others get their turn: a commit that another thread orders meanwhile may
    /// have the first of them only.
    func discard(_ first: LogicalBlock, count: UInt64) throws(DeviceError)

    /// Orders a commit of everything written and discarded before this call. Returns at once.
    func commit() throws(DeviceError) -> any CommitTicket

    /// Whether the device would like a commit soon: blocks overwritten since the last one hold space.
    var commitWanted: Bool { get }
}

extension BlockDevice {
    public func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer, accepted: () -> Void)
        throws(DeviceError)
    {
        try write(first, bytes)
    }

    public func writeForCommit(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        try write(first, bytes)
    }
}

/// An ordered commit.
public protocol CommitTicket: Sendable {
    /// The commit's place in the chain.
    var sequence: SequenceNumber { get }
    /// Returns once the commit is durable and the anchor confirmed it.
    /// - Throws: what made it fail; the device is then latched.
    func wait() throws(DeviceError)
}

/// What a device call failed with.
public enum DeviceError: Error, Hashable, Sendable {
    /// Outside the device.
    case outOfRange(LogicalBlock, count: UInt64)
    /// A length that is no multiple of ``blockBytes``.
    case misaligned(byteCount: Int)
    case readOnly
    /// No segment is free. Reads and commits go on.
    case noSpace
    /// Too many overwritten blocks wait for a commit; write again after one.
    case commitRequired
    /// The block's stored bytes do not verify or cannot be read. Nothing else is affected.
    case unreadable(LogicalBlock, UnreadableReason)
    /// A write, flush, anchor or metadata failure ended writing until the volume is reopened. Reads go on.
    case latched(String)
    case closed
}

/// Why one block cannot be read.
public enum UnreadableReason: Hashable, Sendable {
    /// The data's tag does not match.
    case tagMismatch(PhysicalBlock)
    /// The record header that holds the tag does not verify.
    case headerMismatch(PhysicalBlock)
    /// A page of the map does not verify.
    case mapMismatch(PhysicalBlock)
    /// The contents are known to be lost: a repair or a salvage said so.
    case lost
    /// Of an image: the block's hash is not the one in the tree (level 0, number of the block), or that of a page of hashes
    /// above it is not (its level, its number there).
    case hashMismatch(level: Int, number: UInt64)
    /// The crypto library failed over an image's block: nothing is known of the block itself.
    case crypto(String)
    case host(HostError)
}
