import CLinux

/// A write in flight: completed once, by any thread; waited for by any number of threads, any number of times.
///
/// The common case costs one small allocation and, when the write completes before anybody waits, no system call.
public final class HostWrite: Sendable {
    // SAFETY: one word, owned by this object and freed in `deinit`; touched only by the atomic calls of the C gate.
    private nonisolated(unsafe) let gate: UnsafeMutablePointer<UInt32>
    // SAFETY: written once by `complete` before the gate opens (release), read only after it was seen open (acquire).
    private nonisolated(unsafe) var failure: HostError?
    /// Whoever can bring about the completion from the thread that wants it.
    private let progress: (any HostWriteProgress)?

    public convenience init() {
        self.init(progress: nil)
    }

    /// - Parameter progress: is asked to get on with it whenever somebody looks.
    package init(progress: (any HostWriteProgress)?) {
        self.progress = progress
        gate = .allocate(capacity: 1)
        gate.initialize(to: 0)
    }

    deinit {
        gate.deallocate()
    }

    /// Ends the write; `nil` is success. Everything the completing thread did before is visible to those who waited.
    public func complete(_ error: HostError?) {
        precondition(!casemate_gate_is_open(gate), "a write completes once")
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
        if casemate_gate_is_open(gate) { return }
        progress?.advance(self, isAwaited: true)
        casemate_gate_wait(gate)
    }

    /// Whether the write has completed, without waiting.
    public var isComplete: Bool {
        if casemate_gate_is_open(gate) { return true }
        guard let progress else { return false }
        progress.advance(self, isAwaited: false)
        return casemate_gate_is_open(gate)
    }

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

/// A host whose writes are completed by the threads that look at them, which spares a switch to a thread of its own.
package protocol HostWriteProgress: AnyObject, Sendable {
    /// Completes `write` if its work is done.
    /// - Parameter isAwaited: somebody waits; may return early only if another thread completes the write. Otherwise
    ///   returns at once.
    func advance(_ write: HostWrite, isAwaited: Bool)
}
