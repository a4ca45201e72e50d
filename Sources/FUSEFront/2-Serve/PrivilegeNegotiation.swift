import Glibc
import Synchronization

/// Asks the kernel for `FUSE_HANDLE_KILLPRIV_V2`, which libfuse 3.14 cannot: sets its bit in the INIT reply.
///
/// Without it the kernel asks for `security.capability` before every write. With it the filesystem clears
/// set-user-ID, set-group-ID and file capabilities, and the kernel says when.
final class PrivilegeNegotiation: Sendable {
    /// `FUSE_HANDLE_KILLPRIV_V2` of `linux/fuse.h`.
    static let flag: UInt32 = 1 << 28

    /// The INIT request to answer; 0 is never a request's number.
    private let pending = Atomic<UInt64>(0)
    private let offered = Atomic<Bool>(false)
    private let agreed = Atomic<Bool>(false)

    /// Whether clearing privileges is ours.
    var isOurs: Bool { agreed.load(ordering: .acquiring) }

    func received(_ request: RawRequest) {
        guard let (unique, offers) = request.initialisation else { return }
        offered.store(offers, ordering: .relaxed)
        pending.store(unique, ordering: .releasing)
    }

    /// Looks at a reply before it goes out. Changes only a successful INIT reply in the layout of protocol 7.5 and up.
    /// - Returns: whether this was the INIT reply: the mount is about to work.
    func amend(_ parts: UnsafeBufferPointer<iovec>) -> Bool {
        let unique = pending.load(ordering: .acquiring)
        guard unique != 0, parts.count == 2, let header = parts[0].iov_base, parts[0].iov_len == 16,
            let body = parts[1].iov_base, parts[1].iov_len >= 24
        else { return false }
        // fuse_out_header: len, error, unique. fuse_init_out: major, minor, max_readahead, flags.
        // SAFETY: libfuse's own header and reply body, of at least the lengths checked above, alive during the call.
        guard header.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == unique,
            header.loadUnaligned(fromByteOffset: 4, as: Int32.self) == 0
        else { return false }
        pending.store(0, ordering: .releasing)
        guard offered.load(ordering: .relaxed) else { return true }
        let flags = body.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
        body.storeBytes(of: flags | Self.flag, toByteOffset: 12, as: UInt32.self)
        agreed.store(true, ordering: .releasing)
        return true
    }
}
