import CLibURing
import CLinux

/// Writes through io_uring: callers submit, one thread takes the completions.
///
/// A request that comes back short, interrupted or cancelled (the kernel cancels what a thread that ends has not got
/// done) is finished with the same bytes by the completing thread.
final class RingWriter: WriteEngine {
    private static let stopIdentity = UInt64.max
    private static let nothing = UInt64.max - 1

    /// Which jobs are under way; the index is the request's identity. The lock also covers submission.
    private struct Slots {
        var jobs = [WriteJob?](repeating: nil, count: Ring.depth)
        var free = Array((0..<Ring.depth).reversed())
    }

    private let file: HostFile
    private let ring: Ring
    private let slots: Monitor<Slots>
    private let thread: HostThread

    /// `nil` where there is no io_uring.
    init?(_ file: HostFile) {
        guard let ring = Ring(flags: 0) else { return nil }
        let slots = Monitor(Slots())
        guard let thread = HostThread({ Self.complete(ring, slots, file) }) else { return nil }
        self.file = file
        self.ring = ring
        self.slots = slots
        self.thread = thread
    }

    func begin(_ job: WriteJob) {
        let isSubmitted = slots.changeWhen({ !$0.free.isEmpty }) { slots -> Bool in
            guard let index = slots.free.popLast() else { return false }
            // SAFETY: the bytes stay until the job has finished; the kernel writes at most what fits the field.
            let prepared = ring.prepare(UInt64(index)) { entry in
                io_uring_prep_write(
                    entry, file.descriptor, job.bytes.baseAddress, UInt32(clamping: job.bytes.count), job.offset)
                if job.durable { entry.pointee.rw_flags = casemate_durable_flag() }
            }
            guard let prepared else {
                slots.free.append(index)
                return false
            }
            slots.jobs[index] = job
            if ring.submit() == 0 { return true }
            // The entry stays prepared and goes out with the next one: it must do nothing then.
            io_uring_prep_nop(prepared)
            io_uring_sqe_set_data64(prepared, Self.nothing)
            slots.jobs[index] = nil
            slots.free.append(index)
            return false
        }
        if !isSubmitted { job.finishHere(file, done: 0) }
    }

    func stop() {
        slots.change { _ in
            ring.prepare(Self.stopIdentity) { io_uring_prep_nop($0) }
            _ = ring.submit()
        }
        thread.join()
    }

    private static func complete(_ ring: Ring, _ slots: Monitor<Slots>, _ file: HostFile) {
        while true {
            let (identity, result) = ring.next()
            if identity == stopIdentity { return }
            guard identity < UInt64(Ring.depth) else { continue }
            let job = slots.change { slots in
                let job = slots.jobs[Int(identity)]
                slots.jobs[Int(identity)] = nil
                slots.free.append(Int(identity))
                return job
            }
            guard let job else { continue }
            if result == Int32(clamping: job.bytes.count) {
                job.finish(nil)
            } else if result >= 0 || result == -EINTR || result == -EAGAIN || result == -ECANCELED {
                job.finishHere(file, done: Int(max(0, result)))
            } else {
                job.finish(HostFile.failure("write", -result, job.offset))
            }
        }
    }
}
