import SecureBlock

/// A host that hands everything on to one in memory: a test overrides what it is about.
class ForwardingHost: BlockHost, @unchecked Sendable {
    // SAFETY: immutable; what a subclass adds is its own affair.
    let host: MemoryBlockHost

    init(_ host: MemoryBlockHost) { self.host = host }

    var transport: String { host.transport }
    func byteCount() throws(HostError) -> UInt64 { try host.byteCount() }
    func read(_ batch: [HostRead]) throws(HostError) { try host.read(batch) }
    func beginWrite(at offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        host.beginWrite(at: offset, bytes, durable: durable)
    }
    func flush() throws(HostError) { try host.flush() }
    func allocate(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try host.allocate(offset: offset, byteCount: byteCount)
    }
    func punch(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try host.punch(offset: offset, byteCount: byteCount)
    }
    func cut(to byteCount: UInt64) throws(HostError) { try host.cut(to: byteCount) }
    func close() {}
}
