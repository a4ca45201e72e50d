/// Writes by a few threads with `pwrite(2)`: for kernels and sandboxes without io_uring.
final class ThreadWriter: WriteEngine {
    private struct Queue {
        // A ring of waiting jobs; full means the caller waits.
        var jobs = [WriteJob?](repeating: nil, count: 64)
        var first = 0
        var count = 0
        var isStopping = false
    }

    private let queue: Monitor<Queue>
    private let threads: [HostThread]

    /// `nil` when the system gives no thread.
    init?(_ file: HostFile, threadCount: Int = 4) {
        let queue = Monitor(Queue())
        threads = (0..<threadCount).compactMap { _ in HostThread { Self.serve(queue, file) } }
        self.queue = queue
        if threads.isEmpty { return nil }
    }

    func begin(_ offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        let job = WriteJob(offset: offset, bytes: bytes, durable: durable, write: HostWrite())
        queue.changeWhen({ $0.count < $0.jobs.count }) { queue in
            queue.jobs[(queue.first + queue.count) % queue.jobs.count] = job
            queue.count += 1
        }
        return job.write
    }

    func stop() {
        queue.change { $0.isStopping = true }
        for thread in threads { thread.join() }
    }

    private static func serve(_ queue: Monitor<Queue>, _ file: HostFile) {
        while true {
            let next = queue.changeWhen({ $0.count > 0 || $0.isStopping }) { queue -> WriteJob? in
                guard queue.count > 0 else { return nil }
                let job = queue.jobs[queue.first]
                queue.jobs[queue.first] = nil
                queue.first = (queue.first + 1) % queue.jobs.count
                queue.count -= 1
                return job
            }
            guard let next else { return }
            next.finishHere(file, done: 0)
        }
    }
}
