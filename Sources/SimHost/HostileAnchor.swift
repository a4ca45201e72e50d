import SecureBlock

/// An anchor that can be out of reach, lose answers, and be turned back by whoever owns its storage.
///
/// It outlives the hosts of its volume, as an anchor does; give it to one after the other.
public final class HostileAnchor: Anchor {
    private struct State {
        var value: AnchorValue?
        var past: [AnchorValue] = []
        var random: SimRandom
        var failsPerMille = 0
        var failures = 0
    }
    private let state: Monitor<State>

    public init(seed: UInt64, _ value: AnchorValue? = nil) {
        state = Monitor(State(value: value, random: SimRandom(seed: seed)))
    }

    public var description: String { "simulated, hostile" }

    /// What is stored, whether it can be reached or not.
    public var value: AnchorValue? { state.withLock { $0.value } }
    /// How often it was out of reach.
    public var failuresTold: Int { state.withLock { $0.failures } }

    /// How many calls of a thousand find it out of reach; half of the updates that fail are stored all the same.
    public func setFailures(perMille: Int) {
        state.withLock { $0.failsPerMille = perMille }
    }

    public func reseed(_ seed: UInt64) {
        state.withLock { $0.random = SimRandom(seed: seed) }
    }

    /// Turns it back to an earlier value.
    /// - Returns: `false` when there is none.
    public func rollBack() -> Bool {
        state.withLock { state in
            guard !state.past.isEmpty else { return false }
            state.value = state.past[Int(state.random.next() % UInt64(state.past.count))]
            return true
        }
    }

    /// Stores a value, as when an operator sets the anchor anew.
    public func replace(by value: AnchorValue?) {
        state.withLock { state in
            state.value = value
            state.past = []
        }
    }

    public func load() throws(AnchorError) -> AnchorValue? {
        try state.withLock { state throws(AnchorError) in
            if Self.strikes(&state) { throw .unavailable("simulated") }
            return state.value
        }
    }

    public func compareAndSwap(expected: AnchorValue?, new: AnchorValue) throws(AnchorError) {
        try state.withLock { state throws(AnchorError) in
            guard state.value == expected else { throw .conflict(found: state.value) }
            let fails = Self.strikes(&state)
            if !fails || state.random.next() & 1 == 0 {
                if let value = state.value {
                    if state.past.count >= 8 { state.past.removeFirst() }
                    state.past.append(value)
                }
                state.value = new
            }
            if fails { throw .unavailable("simulated: the answer is lost") }
        }
    }

    private static func strikes(_ state: inout State) -> Bool {
        guard state.failsPerMille > 0, state.random.next() % 1000 < UInt64(state.failsPerMille) else {
            return false
        }
        state.failures += 1
        return true
    }
}
