import CLibURing
import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Writes through io_uring, without a thread of its own: callers submit, and whoever waits for a write takes the
/// completions, its own and the others'. A commit under load so costs one switch between threads, not three.
///
/// A durable write is held until somebody waits for it, and then made by that thread with `pwritev2(2)`: the kernel would
/// hand a request for it to a thread of its own, and a commit would cost two more switches. It goes through the ring after
/// all when another write is begun before anybody waits.
///
/// A request that comes back short, interrupted or cancelled (the kernel cancels what a thread that ends has not got
/// done) is finished with the same bytes by the thread that takes its completion.
final class RingWriter: WriteEngine, HostWriteProgress {
    private static let nothing = UInt64.max

    /// The lock also covers submission.
    private struct State {
        /// Which writes are under way; the index is the request's identity.
        var jobs = [WriteJob?](repeating: nil, count: Ring.depth)
        var free = Array((0..<Ring.depth).reversed())
        /// Some thread is taking completions.
        var isTaking = false
        /// The durable write that nobody waits for yet.
        var held: WriteJob?
    }

    private let file: HostFile
    private let ring: Ring
    private let state = Monitor(State())

    /// `nil` where there is no io_uring.
    init?(_ file: HostFile) {
        guard let ring = Ring(flags: 0) else { return nil }
        self.file = file
        self.ring = ring
    }

    func begin(_ offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        let job = WriteJob(offset: offset, bytes: bytes, durable: durable, write: HostWrite(progress: self))
        let earlier = state.withLock { state in
            let held = state.held
            state.held = durable ? job : nil
            return held
        }
        if let earlier { start(earlier) }
        if !durable { start(job) }
        return job.write
    }

    private func start(_ job: WriteJob) {
        takeUntil { !$0.free.isEmpty }
        // Somebody else may have taken the last place meanwhile; there is always the direct way.
        if !state.withLock({ submit(job, &$0) }) { job.finishHere(file, done: 0) }
    }

    /// The held write, if it is this one or any is asked for; the caller makes it.
    private func takeHeld(_ write: HostWrite? = nil) -> WriteJob? {
        state.withLock { state in
            guard let held = state.held, write == nil || held.write === write else { return nil }
            state.held = nil
            return held
        }
    }

    func advance(_ write: HostWrite, isAwaited: Bool) {
        if isAwaited {
            if let held = takeHeld(write) { return held.finishHere(file, done: 0) }
            takeUntil { state in !state.jobs.contains { $0?.write === write } }
        } else if state.withLock({ !$0.isTaking.exchange(true) }) {
            take(waiting: false)
        }
    }

    func stop() {
        takeHeld()?.finishHere(file, done: 0)
        takeUntil { $0.free.count == Ring.depth }
    }

    private func submit(_ job: WriteJob, _ state: inout State) -> Bool {
        guard let index = state.free.popLast() else { return false }
        // SAFETY: the bytes stay until the job has finished; the kernel writes at most what fits the field.
        let prepared = ring.prepare(UInt64(index)) { entry in
            io_uring_prep_write(
                entry, file.descriptor, job.bytes.baseAddress, UInt32(clamping: job.bytes.count), job.offset)
            if job.durable { entry.pointee.rw_flags = casemate_durable_flag() }
        }
        if let prepared {
            state.jobs[index] = job
            if ring.submit() == 0 { return true }
            // The entry stays prepared and goes out with the next one: it must do nothing then.
            io_uring_prep_nop(prepared)
            io_uring_sqe_set_data64(prepared, Self.nothing)
            state.jobs[index] = nil
        }
        state.free.append(index)
        return false
    }

    /// Takes completions, or waits for whoever does, until `isEnough`. Writes must be under way until then.
    private func takeUntil(_ isEnough: (borrowing State) -> Bool) {
        while true {
            let isMine = state.changeWhen({ isEnough($0) || !$0.isTaking }) { state -> Bool in
                if isEnough(state) { return false }
                state.isTaking = true
                return true
            }
            guard isMine else { return }
            take(waiting: true)
        }
    }

    /// Completes what the kernel has finished. By the one thread that set `isTaking`.
    /// - Parameter waiting: for the first completion.
    private func take(waiting: Bool) {
        var completion = waiting ? ring.next() : ring.nextIfAny()
        while let (identity, result) = completion {
            if identity < UInt64(Ring.depth) {
                let index = Int(identity)
                if let job = state.withLock({ $0.jobs[index] }) { finish(job, result) }
                // Only now: whoever finds a write gone from here finds it completed.
                state.withLock { state in
                    state.jobs[index] = nil
                    state.free.append(index)
                }
            }
            completion = ring.nextIfAny()
        }
        state.change { $0.isTaking = false }
    }

    private func finish(_ job: WriteJob, _ result: Int32) {
        if result == Int32(clamping: job.bytes.count) {
            job.write.complete(nil)
        } else if result >= 0 || result == -EINTR || result == -EAGAIN || result == -ECANCELED {
            job.finishHere(file, done: Int(max(0, result)))
        } else {
            job.write.complete(HostFile.failure("write", -result, job.offset))
        }
    }
}

extension Bool {
    fileprivate mutating func exchange(_ new: Bool) -> Bool {
        defer { self = new }
        return self
    }
}
