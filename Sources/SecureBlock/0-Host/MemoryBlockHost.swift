/// A host in memory, for volumes that need not outlive the process and for tests. Nothing is lost while it lives, so a
/// flush does nothing.
///
///     let host = MemoryBlockHost(capacityBytes: 64 << 20)
public final class MemoryBlockHost: BlockHost {
    private struct State: Sendable {
        var contents = SparseBytes()
        var isClosed = false
    }

    private let state: Monitor<State>
    /// The size in bytes it can grow to; `nil` for as far as memory reaches.
    public let capacityBytes: UInt64?

    /// - Parameter capacityBytes: growth beyond this many bytes fails with ``HostError/noSpace``.
    public init(capacityBytes: UInt64? = nil) {
        self.capacityBytes = capacityBytes
        state = Monitor(State())
    }

    /// A host that starts with `contents`.
    package init(contents: SparseBytes, capacityBytes: UInt64? = nil) {
        self.capacityBytes = capacityBytes
        state = Monitor(State(contents: contents))
    }

    /// What is stored now, as a value of its own.
    package var contents: SparseBytes { state.withLock { $0.contents } }

    /// Changes the stored bytes behind the device's back, as a hostile host does.
    package func tamper(_ body: (inout SparseBytes) -> Void) {
        state.withLock { body(&$0.contents) }
    }

    public var transport: String { "memory" }

    public func byteCount() throws(HostError) -> UInt64 {
        try access { state throws(HostError) in UInt64(state.contents.byteCount) }
    }

    public func read(_ batch: [HostRead]) throws(HostError) {
        for read in batch {
            try access { state throws(HostError) in
                let end = try SparseBytes.end(of: read.offset, byteCount: read.buffer.count)
                guard end <= state.contents.byteCount else { throw .beyondEnd(offset: read.offset) }
                state.contents.read(end - read.buffer.count, into: read.buffer)
            }
        }
    }

    public func beginWrite(at offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        do throws(HostError) {
            try access { state throws(HostError) in
                let end = try SparseBytes.end(of: offset, byteCount: bytes.count)
                try self.checkCapacity(end)
                state.contents.write(end - bytes.count, bytes)
            }
            return .completed()
        } catch {
            return .failed(error)
        }
    }

    public func flush() throws(HostError) {
        try access { _ throws(HostError) in }
    }

    public func allocate(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try access { state throws(HostError) in
            let end = try SparseBytes.end(of: offset, byteCount: byteCount)
            try self.checkCapacity(end)
            state.contents.grow(to: end)
        }
    }

    public func punch(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try access { state throws(HostError) in
            let end = try SparseBytes.end(of: offset, byteCount: byteCount)
            state.contents.erase(Int(clamping: offset)..<end)
        }
    }

    public func cut(to byteCount: UInt64) throws(HostError) {
        try access { state throws(HostError) in state.contents.truncate(to: Int(clamping: byteCount)) }
    }

    public func close() {
        state.withLock { $0.isClosed = true }
    }

    private func access<Result>(
        _ body: (inout State) throws(HostError) -> Result
    ) throws(HostError) -> Result {
        try state.withLock { state throws(HostError) in
            guard !state.isClosed else { throw .closed }
            return try body(&state)
        }
    }

    private func checkCapacity(_ end: Int) throws(HostError) {
        if let capacityBytes, UInt64(end) > capacityBytes { throw .noSpace }
    }

}
