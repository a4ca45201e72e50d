import Glibc
import VFS

/// The advisory locks of a namespace: of whole files by open file, `flock(2)`, and of byte ranges by context, `fcntl(2)`.
/// The two kinds do not see each other, as on Linux.
final class LockTable: @unchecked Sendable {
    /// The files of the two kinds of locks are different tables.
    enum Family: Hashable { case whole, range }

    private struct File: Hashable {
        var family: Family
        var node: NodeID
    }

    private struct Wait {
        var file: File
        var kind: LockKind
        var range: Range<UInt64>
    }

    // SAFETY: allocated once, so that they never move; freed when nobody can wait any more.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let released = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    // Under `mutex`.
    private var files: [File: RangeLocks] = [:]
    private var waits: [(owner: LockOwner, wait: Wait)] = []

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(released, nil)
    }

    deinit {
        pthread_cond_destroy(released)
        pthread_mutex_destroy(mutex)
        released.deallocate()
        mutex.deallocate()
    }

    private func locked<R>(_ body: () throws(VFSError) -> R) throws(VFSError) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Takes a lock in place of what `owner` has in the range.
    /// - Throws: `EAGAIN` when another owner is in the way and `waits` is not set; `EDEADLK` when that one waits for us.
    func lock(
        _ family: Family, _ node: NodeID, _ kind: LockKind, _ range: Range<UInt64>, by owner: LockOwner, waits: Bool
    ) throws(VFSError) {
        let file = File(family: family, node: node)
        let wait = Wait(file: file, kind: kind, range: range)
        try locked { () throws(VFSError) in
            while let locks = files[file], locks.conflict(kind, range, by: owner) != nil {
                guard waits else { throw VFSError(.resourceTemporarilyUnavailable) }
                if family == .range, isBlocked(by: owner, wait) { throw VFSError(.deadlock) }
                self.waits.append((owner, wait))
                pthread_cond_wait(released, mutex)
                self.waits.removeAll { $0.owner == owner && $0.wait.file == file && $0.wait.range == range }
            }
            files[file, default: RangeLocks()].set(kind, range, by: owner)
            // A lock made weaker lets others in.
            pthread_cond_broadcast(released)
        }
    }

    /// Whether those in the way of `wait` wait, directly or through others, for `owner`.
    private func isBlocked(by owner: LockOwner, _ wait: Wait) -> Bool {
        var open = [(owner, wait)]
        var seen: Set<LockOwner> = []
        while let (waiter, wait) = open.popLast() {
            for other in files[wait.file]?.conflicts(wait.kind, wait.range, by: waiter) ?? [] {
                if other.owner == owner { return true }
                guard seen.insert(other.owner).inserted else { continue }
                for entry in waits where entry.owner == other.owner && entry.wait.file.family == .range {
                    open.append((other.owner, entry.wait))
                }
            }
        }
        return false
    }

    /// Gives back what `owner` holds in `range`.
    func unlock(_ family: Family, _ node: NodeID, _ range: Range<UInt64>, by owner: LockOwner) {
        change(File(family: family, node: node)) { $0.set(nil, range, by: owner) }
    }

    /// Gives back all that `owner` holds of a file.
    func release(_ family: Family, _ node: NodeID, by owner: LockOwner) {
        change(File(family: family, node: node)) { $0.release(owner) }
    }

    /// Gives back all that `owner` holds.
    func releaseAll(by owner: LockOwner) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        files = files.compactMapValues { locks in
            var locks = locks
            locks.release(owner)
            return locks.isEmpty ? nil : locks
        }
        pthread_cond_broadcast(released)
    }

    private func change(_ file: File, _ edit: (inout RangeLocks) -> Void) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        guard var locks = files[file] else { return }
        edit(&locks)
        files[file] = locks.isEmpty ? nil : locks
        pthread_cond_broadcast(released)
    }

    /// The lock in the way of one, if any.
    func conflict(_ node: NodeID, _ kind: LockKind, _ range: Range<UInt64>, by owner: LockOwner) -> RangeLocks.Held?
    {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return files[File(family: .range, node: node)]?.conflict(kind, range, by: owner)
    }
}
