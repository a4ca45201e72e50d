/// A host that several devices use one after the other: closing it closes nothing, so that its lock is held throughout.
///
/// Also what a host stands on that does something of its own around another's calls: it overrides those.
package class LentHost: BlockHost, @unchecked Sendable {
    // SAFETY: immutable; what a subclass adds is its own affair.
    package let host: any BlockHost
    package init(_ host: any BlockHost) { self.host = host }

    package var transport: String { host.transport }
    package func byteCount() throws(HostError) -> UInt64 { try host.byteCount() }
    package func read(_ batch: [HostRead]) throws(HostError) { try host.read(batch) }
    package func read(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
        try host.read(batch, each: isFull)
    }
    /// None: what stands on this one's reads is to hear of each.
    package var cachesReads: Bool { false }
    package func readCached(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
        try read(batch, each: isFull)
    }
    package func beginWrite(at offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        host.beginWrite(at: offset, bytes, durable: durable)
    }
    package func flush() throws(HostError) { try host.flush() }
    package func allocate(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try host.allocate(offset: offset, byteCount: byteCount)
    }
    package func punch(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try host.punch(offset: offset, byteCount: byteCount)
    }
    package func cut(to byteCount: UInt64) throws(HostError) { try host.cut(to: byteCount) }
    package func close() {}
}
