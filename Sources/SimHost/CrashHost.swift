import CLinux
import SecureBlock

/// A host in memory that remembers everything done to it and can show what a crash at any moment would have left.
///
/// It is as unhelpful as a real disk may be. A write ends only when somebody waits for it: until then reads return the
/// old bytes and no flush covers it. A completed write that no later flush covers may survive a crash or not, in any
/// combination with others, whole or torn between sectors of 512 bytes. Nothing here depends on time or threads; the
/// same calls give the same log and the same images.
///
///     let host = CrashHost()
///     let anchor = SimAnchor(host)
///     // … run the workload over `host` and `anchor`; after each commit that was waited for:
///     host.mark(ticket.sequence.rawValue)
///     // then:
///     try host.forEachCrashImage(.thorough(seed: 1)) { image in
///         let device = try open(image.makeHost(), anchor: image.makeAnchor())
///         #expect(device.commit >= image.lastMark ?? 0, "\(image)")
///     }
public final class CrashHost: BlockHost, HostWriteProgress {
    struct State {
        var current: SparseBytes
        var events: [SimEvent] = []
        /// By event index, in order.
        var underWay: [(index: Int, write: HostWrite, source: SimSource)] = []
        var faults: [SimFault] = []
        var unreadable: [(range: Range<UInt64>, error: HostError)] = []
        var violations: [String] = []
        var anchor: AnchorValue?
        var isClosed = false
    }

    let state: Monitor<State>
    let initial: SparseBytes
    let initialAnchor: AnchorValue?
    private let capacityBytes: UInt64?

    /// - Parameter capacityBytes: growth beyond this many bytes fails with ``HostError/noSpace``.
    public convenience init(capacityBytes: UInt64? = nil) {
        self.init(contents: SparseBytes(), anchor: nil, capacityBytes: capacityBytes)
    }

    /// A host that starts with `contents`, all of it durable.
    package init(contents: SparseBytes, anchor: AnchorValue? = nil, capacityBytes: UInt64? = nil) {
        initial = contents
        initialAnchor = anchor
        self.capacityBytes = capacityBytes
        state = Monitor(State(current: contents, anchor: anchor))
    }

    public var transport: String { "simulated" }

    /// What happened so far.
    public var events: [SimEvent] { state.withLock { $0.events } }

    /// How many events there are: the index of the next one.
    public var eventCount: Int { state.withLock { $0.events.count } }

    /// What callers did that no host has to put up with, such as changing a buffer under a write.
    public var violations: [String] { state.withLock { $0.violations } }

    /// What reads would return now, as a value.
    package var contents: SparseBytes { state.withLock { $0.current } }

    /// Notes `value` in the log. Images made for later moments carry it as ``CrashImage/lastMark``; a test notes what
    /// was promised at that moment, such as the last acknowledged commit.
    public func mark(_ value: UInt64) {
        state.withLock { $0.events.append(.mark(value)) }
    }

    public func byteCount() throws(HostError) -> UInt64 {
        try access { state throws(HostError) in UInt64(state.current.byteCount) }
    }

    public func read(_ batch: [HostRead]) throws(HostError) {
        try access { state throws(HostError) in try state.takeFault(.read) }
        for read in batch {
            try access { state throws(HostError) in
                let end = try SparseBytes.end(of: read.offset, byteCount: read.buffer.count)
                guard end <= state.current.byteCount else { throw .beyondEnd(offset: read.offset) }
                for fault in state.unreadable where fault.range.overlaps(read.offset..<UInt64(end)) {
                    throw fault.error
                }
                state.current.read(end - read.buffer.count, into: read.buffer)
            }
        }
    }

    public func beginWrite(at offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        let source = SimSource(bytes)
        do throws(HostError) {
            return try access { state throws(HostError) in
                let end = try SparseBytes.end(of: offset, byteCount: source.bytes.count)
                try self.checkCapacity(end)
                let copy = [UInt8](source.bytes), index = state.events.count
                do throws(HostError) {
                    try state.takeFault(.write)
                } catch {
                    state.events.append(
                        .write(SimWrite(offset: offset, bytes: copy, durable: durable, failed: true)))
                    throw error
                }
                let write = HostWrite(progress: self)
                state.events.append(.write(SimWrite(offset: offset, bytes: copy, durable: durable, failed: false)))
                state.underWay.append((index, write, source))
                return write
            }
        } catch {
            return .failed(error)
        }
    }

    public func flush() throws(HostError) {
        try access { state throws(HostError) in
            do throws(HostError) {
                try state.takeFault(.flush)
            } catch {
                state.events.append(.flush(failed: true))
                throw error
            }
            state.events.append(.flush(failed: false))
        }
    }

    public func allocate(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try access { state throws(HostError) in
            try state.takeFault(.allocate)
            let end = try SparseBytes.end(of: offset, byteCount: byteCount)
            try self.checkCapacity(end)
            let grows = end > state.current.byteCount
            state.current.grow(to: end)
            state.events.append(
                .allocate(offset: offset, byteCount: byteCount, grewTo: grows ? UInt64(end) : nil))
        }
    }

    public func punch(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try access { state throws(HostError) in
            try state.takeFault(.punch)
            let end = try SparseBytes.end(of: offset, byteCount: byteCount)
            state.current.erase(Int(clamping: offset)..<end)
            state.events.append(.punch(offset: offset, byteCount: byteCount))
        }
    }

    /// The writer's process dies and the machine lives on: what is under way ends, and nothing is flushed. Others may
    /// open the store anew.
    public func abandonWriter() {
        for write in state.withLock({ $0.underWay.map(\.write) }) { finish(write) }
    }

    public func cut(to byteCount: UInt64) throws(HostError) {
        try access { state throws(HostError) in
            guard byteCount < UInt64(state.current.byteCount) else { return }
            state.current.truncate(to: Int(clamping: byteCount))
            state.events.append(.cut(to: byteCount))
        }
    }

    public func close() {
        for write in state.withLock({ $0.underWay.map(\.write) }) { finish(write) }
        state.withLock { $0.isClosed = true }
    }

    package func advance(_ write: HostWrite, isAwaited: Bool) {
        if isAwaited { finish(write) }
    }

    /// Ends a write: its bytes are in place, for reads and for the next flush.
    private func finish(_ handle: HostWrite) {
        let isEnded = state.withLock { state -> Bool in
            guard let position = state.underWay.firstIndex(where: { $0.write === handle }) else { return false }
            let (index, _, source) = state.underWay.remove(at: position)
            guard case .write(var write) = state.events[index] else { return false }
            // I13: a real disk reads the buffer at any moment up to here.
            if !source.holds(write.bytes) {
                state.violations.append("event \(index): the buffer changed while its write was under way")
            }
            write.completedAt = state.events.count
            state.current.write(Int(clamping: write.offset), write.bytes)
            state.events[index] = .write(write)
            return true
        }
        if isEnded { handle.complete(nil) }
    }

    func access<Result>(
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

/// A buffer to write from, lent until the write completes.
struct SimSource {
    // SAFETY: the contract of `BlockHost.beginWrite` keeps the bytes alive until `wait()` returned.
    let bytes: UnsafeRawBufferPointer
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    func holds(_ expected: [UInt8]) -> Bool {
        // SAFETY: compares as many bytes as both have.
        expected.count == bytes.count
            && expected.withRawBytes { casemate_are_equal($0.baseAddress, bytes.baseAddress, bytes.count) }
    }
}
