import SecureBlock

extension HostileHost {
    /// Lets `count` more calls through; then the power is gone.
    public func cutPower(afterCalls count: Int = 0) {
        state.withLock { $0.callsUntilDeath = count }
    }

    /// Takes back a ``cutPower(afterCalls:)`` that has not come to pass.
    public func keepPower() {
        state.withLock { $0.callsUntilDeath = nil }
    }

    public var hasPower: Bool { state.withLock { !$0.isDead } }

    /// A new disk with what this one holds after the power went: everything flushed, and of the rest any part. Faults,
    /// counts and the trace go on.
    public func powerCycle(seed: UInt64) -> HostileHost {
        var next = state.withLock { state in
            let contents = state.crashed()
            var next = state
            next.media = contents
            next.view = contents
            next.atRisk = []
            return next
        }
        next.begin(seed: seed)
        return HostileHost(next, clock: clock, observer: observer)
    }

    /// The same disk, opened again by another process: what was written is there, flushed or not.
    public func reopened(seed: UInt64) -> HostileHost {
        for write in state.withLock({ $0.underWay.map(\.write) }) { advance(write, isAwaited: true) }
        var next = state.withLock { $0 }
        next.begin(seed: seed)
        return HostileHost(next, clock: clock, observer: observer)
    }

    /// What a crash now would leave; nothing changes but the sequence of random numbers.
    package func crashContents() -> SparseBytes {
        state.withLock { $0.crashed() }
    }

    /// What reads return now, faults aside.
    package var contents: SparseBytes { state.withLock { $0.view } }

    /// Changes the stored bytes behind the device's back; counts as a lie.
    package func tamper(_ body: (inout SparseBytes) -> Void) {
        state.withLock { state in
            body(&state.view)
            state.media = state.view
            state.atRisk = []
            state.lies += 1
        }
    }

    /// Which faults come from here on.
    public func setPlan(_ plan: FaultPlan) {
        state.withLock { state in
            state.plan = plan
            state.noSpaceCalls = 0
        }
    }

    /// Ends every fault, also lasting ones; what was stored wrongly stays so.
    public func endFaults() {
        state.withLock { state in
            state.plan = .none
            state.broken = nil
            state.noSpaceCalls = 0
            state.past = []
        }
    }

    /// Takes up another sequence of random numbers, so that what follows does not depend on what went before.
    public func reseed(_ seed: UInt64) {
        state.withLock { $0.random = SimRandom(seed: seed) }
    }

    /// How often it stored or returned something else than it claimed.
    public var liesTold: Int { state.withLock { $0.lies } }
    /// How often it failed and said so.
    public var failuresTold: Int { state.withLock { $0.failures } }
    /// How often each fault came to pass.
    public var faultCounts: [DiskFault: Int] { state.withLock { $0.counts } }
    /// How many calls there were.
    public var callCount: Int { state.withLock { $0.calls } }
    /// What callers did that no host has to put up with.
    public var violations: [String] { state.withLock { $0.violations } }

    public var trace: SimTrace {
        get { state.withLock { $0.trace } }
        set { state.withLock { $0.trace = newValue } }
    }

    public func note(_ line: @autoclosure () -> String) {
        let line = line()
        state.withLock { $0.trace.note(line) }
    }
}

extension HostileHost.State {
    /// As another opening finds it.
    fileprivate mutating func begin(seed: UInt64) {
        underWay = []
        isDead = false
        isClosed = false
        callsUntilDeath = nil
        random = SimRandom(seed: seed)
    }

    /// Everything flushed, and of each write at risk nothing, all, or any sectors.
    mutating func crashed() -> SparseBytes {
        var contents = media
        var writes = atRisk + underWay.map { HostileHost.AtRisk(offset: $0.offset, bytes: $0.bytes) }
        if plan.faults.contains(.reorderedAtCrash), writes.count > 1 {
            writes.shuffle(using: &random)
            counts[.reorderedAtCrash, default: 0] += 1
        }
        for write in writes {
            switch random.next() % 4 {
            case 0: continue
            case 1 where plan.faults.contains(.tornAtCrash):
                tear(write, &contents)
                counts[.tornAtCrash, default: 0] += 1
            default: contents.write(write.offset, write.bytes)
            }
        }
        trace.note("crash", UInt64(writes.count), 0)
        return contents
    }

    /// Any sectors of it new, the others old, or, one write in four, one of them garbage.
    private mutating func tear(_ write: HostileHost.AtRisk, _ contents: inout SparseBytes) {
        let sectors = (write.bytes.count + SimWrite.sectorBytes - 1) / SimWrite.sectorBytes
        let garbage = random.next() % 4 == 0 ? pick(sectors) : nil
        for sector in 0..<sectors {
            let start = sector * SimWrite.sectorBytes
            let end = min(start + SimWrite.sectorBytes, write.bytes.count)
            if sector == garbage {
                let bytes = (start..<end).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                contents.write(write.offset + start, bytes)
            } else if random.next() & 1 == 0 {
                contents.write(write.offset + start, Array(write.bytes[start..<end]))
            }
        }
    }
}
