import Synchronization

/// How many bytes go out between two commits, lately.
final class CommitTempo: Sendable {
    /// Above so many bytes a commit, filling space beforehand costs more than it saves.
    static let frequentBytes: UInt64 = 100 << 10

    private let bytes = Atomic<UInt64>(0)
    private let commits = Atomic<UInt64>(0)

    @inline(__always)
    func note(bytes count: Int, isCommit: Bool) {
        bytes.wrappingAdd(UInt64(count), ordering: .relaxed)
        if isCommit { commits.wrappingAdd(1, ordering: .relaxed) }
    }

    /// Whether commits were frequent since this was last asked; `nil` when nothing was written.
    func takeIsFrequent() -> Bool? {
        let bytes = bytes.exchange(0, ordering: .relaxed), commits = commits.exchange(0, ordering: .relaxed)
        return bytes == 0 && commits == 0 ? nil : bytes / Self.frequentBytes < commits
    }
}
