import CLinux

/// A write in flight: completed once, by any thread; waited for by any number of threads, any number of times.
///
/// The common case costs one small allocation and, when the write completes before anybody waits, no system call.
public final class HostWrite: Sendable {
    // SAFETY: one word, owned by this object and freed in `deinit`; touched only by the atomic calls of the C gate.
    private nonisolated(unsafe) let gate: UnsafeMutablePointer<UInt32>
    // SAFETY: written once by `complete` before the gate opens (release), read only after it was seen open (acquire).
    private nonisolated(unsafe) var failure: HostError?

    /// Called by those who are about to wait: a simulated host ends its writes no sooner.
    private let beforeWaiting: (@Sendable () -> Void)?

    public convenience init() {
        self.init(beforeWaiting: nil)
    }

    /// - Parameter beforeWaiting: runs at the start of every ``wait()``, in the waiting thread; may complete the write.
    package init(beforeWaiting: (@Sendable () -> Void)?) {
        self.beforeWaiting = beforeWaiting
        gate = .allocate(capacity: 1)
        gate.initialize(to: 0)
    }

    deinit {
        gate.deallocate()
    }

    /// Ends the write; `nil` is success. Everything the completing thread did before is visible to those who waited.
    public func complete(_ error: HostError?) {
        precondition(!isComplete, "a write completes once")
        failure = error
        casemate_gate_open(gate)
    }

    /// Returns when the write has completed; at once if it has.
    /// - Throws: what the write failed with.
    public func wait() throws(HostError) {
        waitForCompletion()
        if let failure { throw failure }
    }

    /// As ``wait()``, without the outcome.
    func waitForCompletion() {
        if let beforeWaiting { beforeWaiting() }
        casemate_gate_wait(gate)
    }

    public var isComplete: Bool { casemate_gate_is_open(gate) }

    /// A write that succeeded before it was asked for.
    public static func completed() -> HostWrite { success }

    public static func failed(_ error: HostError) -> HostWrite {
        let write = HostWrite()
        write.complete(error)
        return write
    }

    private static let success: HostWrite = {
        let write = HostWrite()
        write.complete(nil)
        return write
    }()
}
