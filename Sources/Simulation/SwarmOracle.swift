/// What a run is held against. Each is checked by itself and named in every violation.
public enum SwarmOracle: Int, CaseIterable, Sendable, Hashable {
    /// What opens is the model at exactly one commit, between the last acknowledged one and the last ordered one.
    case oneCommit = 1
    /// Nothing opens that is older than the anchor.
    case notBehindAnchor
    /// A read gives the model's bytes or a typed error, and no call asks the host for more than is sensible.
    case rightBytesOrError
    /// No (key, nonce) pair is used twice, over all branches.
    case noNonceTwice
    /// No secret shows in what the host gets or in an error.
    case nothingPlain
    /// Recovering the same bytes twice gives the same state.
    case recoveryRepeats
    /// A check that finds nothing means that the volume opens and holds what it should.
    case checkAgrees
    /// The same seed gives the same trace.
    case traceRepeats
    /// Without faults, everything works; no fault, no failure.
    case progress
}

/// Something that must not happen.
public struct SwarmViolation: Error, Sendable, Hashable, CustomStringConvertible {
    public var oracle: SwarmOracle
    /// The step at which it showed.
    public var step: Int
    public var text: String
    public var description: String { "oracle \(oracle.rawValue) (\(oracle)) at step \(step): \(text)" }
}
