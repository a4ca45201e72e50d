import SecureBlock

/// A device for the time of building: plain blocks on a host, which nothing protects and no crash has to leave whole.
///
/// A block that was never written, or was discarded, reads as zeros, whatever the host has there.
final class ScratchDevice: BlockDevice {
    private struct State: Sendable {
        /// A bit for each block: whether it was written.
        var written: [UInt64]
        var commits: UInt64 = 0
        /// The host's own error, which a device has no words for.
        var failure: HostError?
    }

    private struct Ticket: CommitTicket {
        let sequence: SequenceNumber
        func wait() throws(DeviceError) {}
    }

    let logicalBlockCount: UInt64
    private let host: any BlockHost
    private let state: Monitor<State>
    var isReadOnly: Bool { false }
    var commitWanted: Bool { false }

    init(_ host: any BlockHost, blocks: UInt64) {
        self.host = host
        logicalBlockCount = blocks
        state = Monitor(State(written: [UInt64](repeating: 0, count: Int((blocks + 63) / 64))))
    }

    /// What the host failed with, if it did.
    var failure: HostError? { state.withLock { $0.failure } }

    func read(_ first: LogicalBlock, into buffer: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        var index = 0
        for (isWritten, count) in runs(try range(first, byteCount: buffer.count)) {
            let part = UnsafeMutableRawBufferPointer(
                rebasing: buffer[index * blockBytes..<(index + count) * blockBytes])
            if isWritten {
                let offset = (first.rawValue + UInt64(index)) * UInt64(blockBytes)
                try call { () throws(HostError) in try host.read(at: offset, into: part) }
            } else {
                part.initializeMemory(as: UInt8.self, repeating: 0)
            }
            index += count
        }
    }

    func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        let range = try range(first, byteCount: bytes.count)
        try call { () throws(HostError) in try host.write(at: first.rawValue * UInt64(blockBytes), bytes) }
        mark(range, true)
    }

    func discard(_ first: LogicalBlock, count: UInt64) throws(DeviceError) {
        guard first.rawValue <= logicalBlockCount, count <= logicalBlockCount - first.rawValue else {
            throw .outOfRange(first, count: count)
        }
        mark(first.rawValue..<first.rawValue + count, false)
    }

    func commit() throws(DeviceError) -> any CommitTicket {
        Ticket(
            sequence: state.withLock { state in
                state.commits += 1
                return SequenceNumber(state.commits)
            })
    }

    private func range(_ first: LogicalBlock, byteCount: Int) throws(DeviceError) -> Range<UInt64> {
        guard byteCount % blockBytes == 0 else { throw .misaligned(byteCount: byteCount) }
        let count = UInt64(byteCount / blockBytes)
        guard first.rawValue <= logicalBlockCount, count <= logicalBlockCount - first.rawValue else {
            throw .outOfRange(first, count: count)
        }
        return first.rawValue..<first.rawValue + count
    }

    private func mark(_ range: Range<UInt64>, _ isWritten: Bool) {
        state.withLock { state in
            for block in range {
                let bit: UInt64 = 1 << (block % 64)
                if isWritten {
                    state.written[Int(block / 64)] |= bit
                } else {
                    state.written[Int(block / 64)] &= ~bit
                }
            }
        }
    }

    /// A range in runs of blocks that were written and blocks that were not.
    private func runs(_ range: Range<UInt64>) -> [(isWritten: Bool, count: Int)] {
        state.withLock { state in
            var runs: [(isWritten: Bool, count: Int)] = []
            for block in range {
                let isWritten = state.written[Int(block / 64)] & 1 << (block % 64) != 0
                if let last = runs.last, last.isWritten == isWritten {
                    runs[runs.count - 1].count += 1
                } else {
                    runs.append((isWritten, 1))
                }
            }
            return runs
        }
    }

    private func call(_ body: () throws(HostError) -> Void) throws(DeviceError) {
        do throws(HostError) {
            try body()
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
            throw .latched("\(error)")
        }
    }
}
