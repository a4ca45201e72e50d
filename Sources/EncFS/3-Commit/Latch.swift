import Synchronization
import VFS

/// Ends writing for good after a failure that leaves memory and device apart: from then on only reads, until the
/// filesystem is mounted again from its last commit.
final class Latch: Sendable {
    private let isSet = Atomic(false)
    private let reason = Mutex<String?>(nil)
    private let report: @Sendable (String) -> Void

    init(report: @escaping @Sendable (String) -> Void) { self.report = report }

    /// Why writing ended, if it did.
    var cause: String? {
        guard isSet.load(ordering: .acquiring) else { return nil }
        return reason.withLock { $0 }
    }

    /// - Parameter isFailure: whether an operator has to know.
    func set(_ cause: String, isFailure: Bool = true) {
        let isFirst = reason.withLock { reason in
            if reason != nil { return false }
            reason = cause
            return true
        }
        guard isFirst else { return }
        isSet.store(true, ordering: .releasing)
        if isFailure { report("read-only from now on: \(cause)") }
    }

    func check() throws(VFSError) {
        if let cause { throw VFSError(.readOnlyFileSystem, fault: "read-only after a failure: \(cause)") }
    }
}
