/// Untrusted bytes on a host: the only door between the device and the outside.
///
/// **Fault model.** The host may return anything on a read, lose, tear, reorder or replay any write that no successful
/// ``flush()`` covers, and fail any call. It is trusted with nothing but availability.
///
/// Offsets and lengths are in bytes and multiples of ``blockBytes``; buffers are aligned to ``blockBytes`` (see
/// ``AlignedBuffer``). Calls may come from any thread.
public protocol BlockHost: AnyObject, Sendable {
    /// How bytes travel, for `info`: for example `io_uring, O_DIRECT`.
    var transport: String { get }

    /// Size of the backing store now.
    func byteCount() throws(HostError) -> UInt64

    /// Fills every buffer of `batch`; the reads run at the same time where the host can.
    /// - Throws: ``HostError``; the buffers' contents are then undefined. A range past the end is
    ///   ``HostError/beyondEnd(offset:)``.
    func read(_ batch: [HostRead]) throws(HostError)

    /// As ``read(_:)``, telling which buffer is full as soon as it is, in any order, on this thread: the caller works on one
    /// while the others are on their way. When this throws, some may have been told.
    func read(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError)

    /// Whether ``readCached(_:each:)`` is anything else than ``read(_:each:)``.
    var cachesReads: Bool { get }

    /// As ``read(_:each:)``, but from a cache of the host's where it has one. What comes may be older than what was written, if
    /// the host's cache does not follow writes that go past it: whoever finds it wrong reads again without the cache.
    func readCached(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError)

    /// Starts one contiguous write. `bytes` must stay unchanged and alive until the ticket's `wait()` returned.
    /// - Parameter durable: the write itself is durable when it completes (`RWF_DSYNC`); says nothing about others. It may
    ///   be put off until somebody waits for it.
    func beginWrite(at offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite

    /// Makes every write that completed before this call durable (`fdatasync`).
    func flush() throws(HostError)

    /// Makes room for `[offset, offset + byteCount)` without changing what is stored; grows the store if needed.
    /// - Throws: ``HostError/noSpace`` when the host has none. Hosts that cannot allocate only grow.
    func allocate(offset: UInt64, byteCount: UInt64) throws(HostError)

    /// Gives the range's space back where the host can; it may read as zeros or as before.
    func punch(offset: UInt64, byteCount: UInt64) throws(HostError)

    /// Ends the store at `byteCount`, where that is before its end and the host can: what lay behind is gone. A host of a fixed
    /// size keeps it. Durable with the next flush.
    func cut(to byteCount: UInt64) throws(HostError)

    /// Releases descriptors, threads and locks. Idempotent. Waits for writes in flight.
    func close()
}

/// One read of a batch.
public struct HostRead {
    public var offset: UInt64
    public var buffer: UnsafeMutableRawBufferPointer
    @inlinable public init(offset: UInt64, buffer: UnsafeMutableRawBufferPointer) {
        self.offset = offset
        self.buffer = buffer
    }
}

extension BlockHost {
    public func cut(to byteCount: UInt64) throws(HostError) {}

    public var cachesReads: Bool { false }

    public func readCached(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
        try read(batch, each: isFull)
    }

    /// Fills `buffer` from `offset`.
    public func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(HostError) {
        try read([HostRead(offset: offset, buffer: buffer)])
    }

    public func read(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
        try read(batch)
        for index in batch.indices { isFull(index) }
    }

    /// Writes and waits; not yet durable.
    public func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(HostError) {
        try beginWrite(at: offset, bytes, durable: false).wait()
    }
}
