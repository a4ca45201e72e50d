import FailingCalls
import SimHost

@testable import SecureBlock

/// What fails under a piece of work, and how often in a row; which call it begins with is counted up.
struct FailureWay: Sendable, CustomStringConvertible {
    enum Kind: Sendable {
        /// Calls of the crypto library by this thread.
        case crypto
        /// Calls of the system by this thread, of the kinds in FailingCalls.h, with an error number.
        case system(UInt32, Int32)
        /// Calls of a ``CrashHost``.
        case host(SimCall, HostError)
        /// Calls of a ``FailingAnchor``.
        case anchor(AnchorError, applied: Bool)
    }
    var kind: Kind
    var times = Int.max

    var description: String { "\(kind), \(times == .max ? "from then on" : "\(times) times")" }
    var isOfReading: Bool { if case .host(.read, _) = kind { true } else { false } }

    static let ioError = HostError.failed(call: "test", errno: 5, offset: nil)

    /// Runs `body` with failures from call `number` on, counted from 0.
    /// - Returns: whether there was such a call, and what `body` threw.
    func run(
        from number: Int, _ host: CrashHost, _ anchor: FailingAnchor?, _ body: () throws -> Void
    ) -> (isReached: Bool, error: (any Error)?) {
        begin(number, host, anchor)
        var failure: (any Error)?
        do { try body() } catch { failure = error }
        return (end(number, host, anchor), failure)
    }

    private func begin(_ number: Int, _ host: CrashHost, _ anchor: FailingAnchor?) {
        switch kind {
        case .crypto:
            casemate_fail_calls(UInt32(CASEMATE_FAILING_CRYPTO), UInt64(number), UInt64(times), 0)
        case .system(let kinds, let error): casemate_fail_calls(kinds, UInt64(number), UInt64(times), error)
        case .host(let call, let error): host.fail(call, after: number, times: times, with: error)
        case .anchor(let error, let applied): anchor?.fail(after: number, times, with: error, applied: applied)
        }
    }

    private func end(_ number: Int, _ host: CrashHost, _ anchor: FailingAnchor?) -> Bool {
        switch kind {
        case .crypto, .system: return casemate_end_failing() > number
        case .host:
            defer { host.clearFaults() }
            return host.failuresLeft < times
        case .anchor: return anchor?.endFailing() ?? 0 > number
        }
    }
}

/// An anchor in memory some of whose calls fail.
final class FailingAnchor: Anchor {
    private struct State {
        var value: AnchorValue?
        var calls = 0
        var after = Int.max
        var times = 0
        var error = AnchorError.unavailable("")
        /// Whether a value is stored all the same, as when the answer of a remote anchor is lost.
        var isApplied = false

        /// Counts a call; the error if it is one that is to fail.
        mutating func failure() -> AnchorError? {
            defer { calls += 1 }
            return calls >= after && calls - after < times ? error : nil
        }
    }
    private let state: Monitor<State>

    init(_ value: AnchorValue?) { state = Monitor(State(value: value)) }

    var description: String { "failing" }
    var value: AnchorValue? { state.withLock { $0.value } }

    func load() throws(AnchorError) -> AnchorValue? {
        try state.withLock { state throws(AnchorError) in
            if let failure = state.failure() { throw failure }
            return state.value
        }
    }

    func compareAndSwap(expected: AnchorValue?, new: AnchorValue) throws(AnchorError) {
        try state.withLock { state throws(AnchorError) in
            let failure = state.failure()
            if let failure, !state.isApplied { throw failure }
            guard state.value == expected else { throw .conflict(found: state.value) }
            state.value = new
            if let failure { throw failure }
        }
    }

    /// Makes calls fail: `times` of them, once `after` have succeeded.
    func fail(after: Int, _ times: Int, with error: AnchorError, applied: Bool) {
        state.withLock { state in
            (state.calls, state.after, state.times) = (0, after, times)
            (state.error, state.isApplied) = (error, applied)
        }
    }

    /// Ends that; how many calls there were.
    func endFailing() -> Int {
        state.withLock { state in
            state.times = 0
            return state.calls
        }
    }
}
