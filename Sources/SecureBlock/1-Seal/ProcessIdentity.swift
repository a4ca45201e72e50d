import CLinux

/// Tells a process from its forks.
///
/// A forked child must not repeat the parent's nonces, nor seal under keys that were wiped in it. So every use of a key
/// first looks at a word that the kernel zeroes in a child. One load, no system call.
enum ProcessIdentity {
    /// - Throws: ``SealError/forked`` in a child that has not called `exec`.
    @inline(__always)
    static func check() throws(SealError) {
        // SAFETY: the page is never unmapped; the word is written once before this pointer is published.
        guard let word, word.pointee != 0 else { throw .forked }
    }

    private nonisolated(unsafe) static let word: UnsafePointer<UInt64>? = casemate_fork_sentinel()
}
