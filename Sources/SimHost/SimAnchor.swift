import SecureBlock

/// An anchor whose updates are events in a ``CrashHost``'s log, so that every crash image comes with the value that was
/// durable at that moment.
public final class SimAnchor: Anchor {
    private let host: CrashHost
    private let faults = Monitor<[Fault]>([])

    private struct Fault: Sendable {
        var after: Int
        let error: AnchorError
        let applied: Bool
    }

    /// Starts with what `host` started with: nothing, or the anchor of the image it was made from.
    public init(_ host: CrashHost) {
        self.host = host
    }

    public var description: String { "simulated" }

    public func load() throws(AnchorError) -> AnchorValue? {
        host.state.withLock { $0.anchor }
    }

    public func compareAndSwap(expected: AnchorValue?, new: AnchorValue) throws(AnchorError) {
        let fault = faults.withLock { faults -> Fault? in
            guard let first = faults.indices.first else { return nil }
            if faults[first].after == 0 { return faults.removeFirst() }
            faults[first].after -= 1
            return nil
        }
        if let fault, !fault.applied { throw fault.error }
        try host.state.withLock { state throws(AnchorError) in
            guard state.anchor == expected else { throw .conflict(found: state.anchor) }
            state.anchor = new
            state.events.append(.anchor(new))
        }
        if let fault { throw fault.error }
    }

    /// Makes one later update fail.
    /// - Parameters:
    ///   - after: how many succeed first.
    ///   - applied: whether the value is stored all the same, as when the answer of a remote anchor is lost.
    public func fail(after: Int = 0, with error: AnchorError, applied: Bool = false) {
        faults.withLock { $0.append(Fault(after: after, error: error, applied: applied)) }
    }
}
