import SecureBlock

/// A host that several devices use one after the other: closing it closes nothing, so that its lock is held throughout.
final class LentHost: BlockHost {
    private let host: any BlockHost
    init(_ host: any BlockHost) { self.host = host }

    var transport: String { host.transport }
    func byteCount() throws(HostError) -> UInt64 { try host.byteCount() }
    func read(_ batch: [HostRead]) throws(HostError) { try host.read(batch) }
    func read(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
        try host.read(batch, each: isFull)
    }
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
