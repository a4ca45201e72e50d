import Synchronization

/// How much memory a filesystem may take, and takes.
final class MemoryBudget: Sendable {
    /// What one inode counts as, in bytes: the object, its lock and its places in tables.
    static let inodeBytes: UInt64 = 512
    /// What a directory entry counts as beside the bytes of its name.
    static let entryBytes: UInt64 = 96

    let limitBytes: UInt64
    private let used = Atomic<UInt64>(0)

    init(limitBytes: UInt64) { self.limitBytes = limitBytes }

    var usedBytes: UInt64 { used.load(ordering: .relaxed) }
    var freeBytes: UInt64 {
        let used = usedBytes
        return used < limitBytes ? limitBytes - used : 0
    }

    /// Takes `count` bytes, or none and says `false`.
    func take(_ count: UInt64) -> Bool {
        var current = used.load(ordering: .relaxed)
        while true {
            let (next, overflow) = current.addingReportingOverflow(count)
            guard !overflow, next <= limitBytes else { return false }
            let (done, found) = used.compareExchange(expected: current, desired: next, ordering: .relaxed)
            if done { return true }
            current = found
        }
    }

    func give(_ count: UInt64) { used.subtract(count, ordering: .relaxed) }
}
