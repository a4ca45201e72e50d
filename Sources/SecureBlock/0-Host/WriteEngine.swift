/// How a ``FileBlockHost`` gets a write done while its caller goes on.
protocol WriteEngine: AnyObject, Sendable {
    /// Starts a write. May wait for earlier ones to finish.
    func begin(_ offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite

    /// Returns when all writes have completed. Nothing is begun any more.
    func stop()
}

/// One write under way.
struct WriteJob: @unchecked Sendable {
    // SAFETY: `bytes` stays unchanged and alive until `write` completed: the contract of `BlockHost.beginWrite`.
    let offset: UInt64
    let bytes: UnsafeRawBufferPointer
    let durable: Bool
    let write: HostWrite

    /// Does what is left of the write from `done` bytes on, on this thread. The last durable flag covers the whole:
    /// what went before is written again, since nothing says it was made durable.
    func finishHere(_ file: HostFile, done: Int) {
        let start = durable ? 0 : done & ~(blockBytes - 1)
        do throws(HostError) {
            try file.write(
                offset + UInt64(start), UnsafeRawBufferPointer(rebasing: bytes[start...]), durable: durable)
            write.complete(nil)
        } catch {
            write.complete(error)
        }
    }
}
