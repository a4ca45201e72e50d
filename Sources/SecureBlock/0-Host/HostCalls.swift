import CLinux
import Synchronization

/// Counts the calls under way, so that closing can wait for them and refuse later ones.
final class HostCalls: Sendable {
    private static let closed: UInt64 = 1 << 63

    private let count = Atomic<UInt64>(0)
    private let drained = HostWrite()
    private let isDrained = Atomic<Bool>(false)

    /// - Throws: ``HostError/closed`` once ``close()`` was called.
    func enter() throws(HostError) {
        if count.wrappingAdd(1, ordering: .acquiring).oldValue & Self.closed != 0 {
            leave()
            throw .closed
        }
    }

    /// Ends what a successful ``enter()`` began.
    func leave() {
        if count.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == Self.closed { drain() }
    }

    /// Refuses new calls and returns when those under way have ended.
    /// - Returns: whether this was the first time.
    func close() -> Bool {
        let before = count.bitwiseOr(Self.closed, ordering: .acquiringAndReleasing).oldValue
        if before == 0 { drain() }
        drained.waitForCompletion()
        return before & Self.closed == 0
    }

    private func drain() {
        // A refused call may count to one and back to none again after everybody else has left.
        if !isDrained.exchange(true, ordering: .acquiringAndReleasing) { drained.complete(nil) }
    }
}
