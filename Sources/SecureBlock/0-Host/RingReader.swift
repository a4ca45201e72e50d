import CLibURing

/// Reads a batch at once through io_uring. One thread at a time.
final class RingReader: Sendable {
    /// More under way than the disk needs to be busy.
    private static let manyReads = 16

    private let ring: Ring

    /// `nil` where there is no io_uring.
    init?() {
        // Completions are looked at only by the thread that waits for them, which saves the kernel interrupting it;
        // kernels before 5.19 know no such flag.
        guard let ring = Ring(flags: UInt32(IORING_SETUP_COOP_TASKRUN)) ?? Ring(flags: 0) else { return nil }
        self.ring = ring
    }

    /// Fills every buffer. Returns or throws only when the kernel is done with all of them.
    /// - Parameters:
    ///   - cached: through the page cache, where there is a way.
    ///   - isFull: called with the index of each buffer once it is, while others may be on their way.
    /// - Returns: whether the ring can be used again.
    func read(
        _ batch: [HostRead], _ file: HostFile, cached: Bool, each isFull: (Int) -> Void
    ) throws(HostError) -> Bool {
        let descriptor = file.readDescriptor(cached: cached)
        var started = 0, underWay = 0
        var failure: HostError?
        var full = [Bool](repeating: false, count: batch.count)
        while underWay > 0 || (started < batch.count && failure == nil) {
            while underWay < Ring.depth, started < batch.count, failure == nil {
                let read = batch[started]
                // SAFETY: the caller lends the buffer until this call returns.
                let prepared = ring.prepare(UInt64(started)) { entry in
                    io_uring_prep_read(
                        entry, descriptor, read.buffer.baseAddress, UInt32(clamping: read.buffer.count),
                        read.offset)
                }
                guard prepared != nil else { break }
                started += 1
                underWay += 1
            }
            // Where many are under way, a call for each that completes would cost more than the queue gains by it.
            let wanted = underWay > Self.manyReads ? Self.manyReads / 2 : 1
            if ring.submit(waitingFor: UInt32(wanted)) != 0 {
                // What the kernel has not taken it never sees: this ring is not used again.
                underWay -= ring.unsubmittedCount
                while underWay > 0 {
                    _ = ring.next()
                    underWay -= 1
                }
                try Self.read(batch, file, each: isFull, except: full)
                return false
            }
            while let (identity, result) = ring.nextIfAny() {
                underWay -= 1
                guard identity < UInt64(batch.count), failure == nil else { continue }
                do throws(HostError) {
                    try finish(batch[Int(identity)], result, file)
                    full[Int(identity)] = true
                    isFull(Int(identity))
                } catch {
                    failure = error
                }
            }
        }
        if let failure { throw failure }
        return true
    }

    /// One after the other, without the ring: what is left of a batch.
    static func read(
        _ batch: [HostRead], _ file: HostFile, each isFull: (Int) -> Void, except full: [Bool] = []
    ) throws(HostError) {
        for (index, read) in batch.enumerated() where full.isEmpty || !full[index] {
            try file.read(read.offset, into: read.buffer)
            isFull(index)
        }
    }

    /// Short and interrupted reads are made whole here; at the end of the file that says so.
    private func finish(_ read: HostRead, _ result: Int32, _ file: HostFile) throws(HostError) {
        if result == Int32(clamping: read.buffer.count) { return }
        if result >= 0 || result == -EINTR || result == -EAGAIN || result == -ECANCELED {
            try file.read(read.offset, into: read.buffer)
        } else {
            throw HostFile.failure("read", -result, read.offset)
        }
    }
}

/// Readers that wait for their next batch.
final class RingReaderPool: Sendable {
    private let idle: Monitor<[RingReader]>

    /// `nil` where there is no io_uring.
    init?() {
        guard let first = RingReader() else { return nil }
        idle = Monitor([first])
    }

    func read(
        _ batch: [HostRead], _ file: HostFile, cached: Bool, each isFull: (Int) -> Void
    ) throws(HostError) {
        guard let reader = idle.withLock({ $0.popLast() }) ?? RingReader() else {
            return try RingReader.read(batch, file, each: isFull)
        }
        let isUsable: Bool
        do throws(HostError) {
            isUsable = try reader.read(batch, file, cached: cached, each: isFull)
        } catch {
            idle.withLock { $0.append(reader) }
            throw error
        }
        if isUsable { idle.withLock { $0.append(reader) } }
    }
}
