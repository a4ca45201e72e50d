import SecureBlock

/// A disk that a seed drives to do everything a disk, or its owner, can do wrong: a simulation of the host in which the
/// same seed and the same calls always give the same answers.
///
///     let clock = SimClock()
///     let host = HostileHost(seed: 7, FaultPlan([.lostWrite, .staleRead]), clock: clock)
///     // … create, open, write, commit …
///     host.cutPower(afterCalls: 12)        // every call after the 12th fails
///     let after = host.powerCycle()        // a new host with what a crash left
///
/// **Fault model.** Two copies are kept: `media`, which a crash cannot touch, and `view`, which reads return. Writes
/// complete when waited for, show then in `view`, and reach `media` with the next flush. ``DiskFault`` says what goes
/// wrong. ``liesTold`` tells a test which promises still hold.
///
/// Meant for one thread; a lock makes it safe, not deterministic, with more.
public final class HostileHost: BlockHost, HostWriteProgress {
    struct AtRisk {
        var offset: Int
        var bytes: [UInt8]
    }

    struct State {
        var media: SparseBytes
        var view: SparseBytes
        /// Completed and not flushed, oldest first.
        var atRisk: [AtRisk] = []
        var underWay: [(offset: Int, bytes: [UInt8], durable: Bool, write: HostWrite, source: SimSource)] = []
        /// Earlier views, for stale reads.
        var past: [SparseBytes] = []
        /// Some earlier writes, to replay.
        var earlier: [AtRisk] = []
        var random: SimRandom
        var plan: FaultPlan
        var broken: Range<Int>?
        var noSpaceCalls = 0
        var isDead = false
        var isClosed = false
        var callsUntilDeath: Int?
        var calls = 0
        var lies = 0
        var failures = 0
        var counts: [DiskFault: Int] = [:]
        var violations: [String] = []
        var trace: SimTrace
    }

    let state: Monitor<State>
    public let clock: SimClock
    let observer: (@Sendable (UInt64, UnsafeRawBufferPointer) -> Void)?
    /// Who sees every write, for another host of the same volume.
    public var recorder: (@Sendable (UInt64, UnsafeRawBufferPointer) -> Void)? { observer }

    /// - Parameters:
    ///   - clock: moves by a millisecond a call.
    ///   - observer: sees every write as it is begun: offset and bytes.
    public convenience init(
        seed: UInt64, _ plan: FaultPlan = .none, clock: SimClock, trace: SimTrace = SimTrace(),
        observer: (@Sendable (UInt64, UnsafeRawBufferPointer) -> Void)? = nil
    ) {
        self.init(
            contents: SparseBytes(), seed: seed, plan, clock: clock, trace: trace, observer: observer)
    }

    package init(
        contents: SparseBytes, seed: UInt64, _ plan: FaultPlan = .none, clock: SimClock,
        trace: SimTrace = SimTrace(), observer: (@Sendable (UInt64, UnsafeRawBufferPointer) -> Void)? = nil
    ) {
        self.clock = clock
        self.observer = observer
        state = Monitor(
            State(media: contents, view: contents, random: SimRandom(seed: seed), plan: plan, trace: trace))
    }

    init(_ start: State, clock: SimClock, observer: (@Sendable (UInt64, UnsafeRawBufferPointer) -> Void)?) {
        self.clock = clock
        self.observer = observer
        state = Monitor(start)
    }

    public var transport: String { "simulated, hostile" }

    public func byteCount() throws(HostError) -> UInt64 {
        try call { state throws(HostError) in UInt64(state.view.byteCount) }
    }

    public func read(_ batch: [HostRead]) throws(HostError) {
        for read in batch {
            try call { state throws(HostError) in try state.read(read.offset, into: read.buffer) }
        }
    }

    public func beginWrite(at offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        observer?(offset, bytes)
        let source = SimSource(bytes)
        do throws(HostError) {
            return try call { state throws(HostError) in
                try state.begin(offset, source, durable: durable, HostWrite(progress: self))
            }
        } catch {
            return .failed(error)
        }
    }

    public func flush() throws(HostError) {
        try call { state throws(HostError) in try state.flush() }
    }

    public func allocate(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try call { state throws(HostError) in try state.allocate(offset, byteCount) }
    }

    public func punch(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try call { state throws(HostError) in
            let end = try SparseBytes.end(of: offset, byteCount: byteCount)
            state.trace.note("punch", offset, byteCount)
            // Allowed to keep the old bytes, which is the harder case as often as not.
            guard state.random.next() & 1 == 0 else { return }
            let range = min(Int(clamping: offset), end)..<end
            state.view.erase(range)
            state.media.erase(range)
        }
    }

    public func cut(to byteCount: UInt64) throws(HostError) {
        try call { state throws(HostError) in
            state.trace.note("cut", byteCount, 0)
            state.view.truncate(to: Int(clamping: byteCount))
            state.media.truncate(to: Int(clamping: byteCount))
            state.atRisk.removeAll { UInt64($0.offset) >= byteCount }
        }
    }

    /// Completes what is under way, or fails it when there is no power; idempotent.
    public func close() {
        for write in state.withLock({ $0.underWay.map(\.write) }) { finish(write) }
        state.withLock { $0.isClosed = true }
    }

    package func advance(_ write: HostWrite, isAwaited: Bool) {
        if isAwaited { finish(write) }
    }

    private func finish(_ handle: HostWrite) {
        let outcome = state.withLock { $0.finish(handle) }
        if let outcome { handle.complete(outcome.error) }
    }

    /// One call: time passes, and the power may go.
    private func call<Result>(
        _ body: (inout State) throws(HostError) -> Result
    ) throws(HostError) -> Result {
        clock.advance(milliseconds: 1)
        return try state.withLock { state throws(HostError) in
            guard !state.isClosed else { throw .closed }
            state.calls += 1
            if let left = state.callsUntilDeath {
                state.callsUntilDeath = left - 1
                if left <= 0, !state.isDead {
                    state.isDead = true
                    state.trace.note("power cut", 0, 0)
                }
            }
            guard !state.isDead else { throw .failed(call: "power cut", errno: 5, offset: nil) }
            return try body(&state)
        }
    }

}
