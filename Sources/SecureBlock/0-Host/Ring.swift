import CLibURing

#if canImport(Glibc)
    import Glibc
#endif

/// One io_uring instance. Who may use it from which thread is its owner's affair: submission and completion may go on
/// at the same time, two submissions or two completions may not.
final class Ring: @unchecked Sendable {
    /// Requests that can be under way at once.
    static let depth = 64

    // SAFETY: initialised by `init`, freed by `deinit`, at a fixed address meanwhile.
    private let ring: UnsafeMutablePointer<io_uring>

    /// `nil` where the kernel, its age or a sandbox says no. A request is made to see that more than setup works.
    init?(flags: UInt32) {
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        ring.initialize(to: io_uring())
        guard io_uring_queue_init(UInt32(Self.depth), ring, flags) == 0 else {
            ring.deallocate()
            return nil
        }
        guard Self.works(ring) else {
            io_uring_queue_exit(ring)
            ring.deallocate()
            return nil
        }
        // Only now: once all properties are set, `deinit` runs also when this returns nil.
        self.ring = ring
    }

    deinit {
        io_uring_queue_exit(ring)
        ring.deallocate()
    }

    private static func works(_ ring: UnsafeMutablePointer<io_uring>) -> Bool {
        guard let probe = io_uring_get_probe_ring(ring) else { return false }
        defer { io_uring_free_probe(probe) }
        for operation in [IORING_OP_READ, IORING_OP_WRITE]
        where io_uring_opcode_supported(probe, Int32(operation.rawValue)) == 0 {
            return false
        }
        guard let entry = io_uring_get_sqe(ring) else { return false }
        io_uring_prep_nop(entry)
        guard io_uring_submit_and_wait(ring, 1) == 1 else { return false }
        var completion: UnsafeMutablePointer<io_uring_cqe>?
        guard io_uring_wait_cqe(ring, &completion) == 0, let completion else { return false }
        io_uring_cqe_seen(ring, completion)
        return true
    }

    /// Prepares a request that `fill` describes, for its completion to carry `identity`.
    /// - Returns: the entry, until it is submitted; `nil` when `depth` are prepared and not submitted.
    @inline(__always)
    @discardableResult
    func prepare(
        _ identity: UInt64, _ fill: (UnsafeMutablePointer<io_uring_sqe>) -> Void
    ) -> UnsafeMutablePointer<io_uring_sqe>? {
        guard let entry = io_uring_get_sqe(ring) else { return nil }
        fill(entry)
        io_uring_sqe_set_data64(entry, identity)
        return entry
    }

    /// Hands all prepared entries to the kernel.
    /// - Parameter waitingFor: completions to wait for in the same call.
    /// - Returns: 0, or an error number when the kernel would not take them for a second.
    func submit(waitingFor count: UInt32 = 0) -> Int32 {
        for _ in 0..<1000 {
            let result = count == 0 ? io_uring_submit(ring) : io_uring_submit_and_wait(ring, count)
            if result >= 0 || result == -EINTR {
                if io_uring_sq_ready(ring) == 0 { return 0 }
                continue
            }
            guard result == -EAGAIN || result == -EBUSY else { return -result }
            usleep(1000)
        }
        return EAGAIN
    }

    /// Entries prepared and not handed over.
    var unsubmittedCount: Int { Int(io_uring_sq_ready(ring)) }

    /// The next completion, waiting for it.
    func next() -> (identity: UInt64, result: Int32) {
        while true {
            var completion: UnsafeMutablePointer<io_uring_cqe>?
            if io_uring_wait_cqe(ring, &completion) == 0, let completion { return take(completion) }
            // Interrupted, or short of memory: the completion stays.
            usleep(100)
        }
    }

    /// The next completion, if there is one.
    func nextIfAny() -> (identity: UInt64, result: Int32)? {
        var completion: UnsafeMutablePointer<io_uring_cqe>?
        guard io_uring_peek_cqe(ring, &completion) == 0, let completion else { return nil }
        return take(completion)
    }

    @inline(__always)
    private func take(_ completion: UnsafeMutablePointer<io_uring_cqe>) -> (identity: UInt64, result: Int32) {
        let taken = (completion.pointee.user_data, completion.pointee.res)
        io_uring_cqe_seen(ring, completion)
        return taken
    }
}
