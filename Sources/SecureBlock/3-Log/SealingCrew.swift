import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Threads that help to seal and open many blocks at once: a block takes a microsecond, and a large write a hundred and more,
/// on one processor while others idle.
///
/// One job at a time has helpers; whoever comes meanwhile works alone, as the processors have enough to do then. A caller never
/// waits for a helper to begin: it does what is left itself, and waits only for pieces that a helper is at.
final class SealingCrew: @unchecked Sendable {
    /// Of the process: keys are looked up by each piece of work, none is kept here.
    static let shared = SealingCrew(helperCount: min(sysconf(Int32(_SC_NPROCESSORS_ONLN)) - 1, 3))

    /// Jobs of fewer blocks are done before a helper is awake.
    static let leastBlocks = 48
    /// Handed out at once: what one processor does in some ten microseconds.
    private static let pieceBlocks = 8

    private final class Job: Sendable {
        let next = Atomic<Int>(0)
        let count: Int
        let work: @Sendable (Range<Int>) -> Void

        init(_ count: Int, _ work: @escaping @Sendable (Range<Int>) -> Void) {
            self.count = count
            self.work = work
        }

        /// Takes pieces until none is left.
        func run() {
            while true {
                let start = next.wrappingAdd(SealingCrew.pieceBlocks, ordering: .relaxed).oldValue
                guard start < count else { return }
                work(start..<min(start + SealingCrew.pieceBlocks, count))
            }
        }
    }

    // The fields below are guarded by `monitor`.
    private let monitor = DeviceMonitor()
    private var job: Job?
    /// Counts jobs.
    private var number: UInt64 = 0
    /// Helpers at work.
    private var helpers = 0
    private var started = 0
    private let helperCount: Int

    init(helperCount: Int) { self.helperCount = helperCount }

    /// Calls `work` with pieces of `0..<count`, on this thread and perhaps on others at the same time; returns when all are
    /// done. What the calls wrote is then visible to the caller.
    func share(_ count: Int, _ work: @escaping @Sendable (Range<Int>) -> Void) {
        guard helperCount > 0, count >= Self.leastBlocks else { return work(0..<count) }
        let own = Job(count, work)
        guard begin(own) else { return work(0..<count) }
        own.run()
        monitor.locked {
            job = nil
            while helpers > 0 { monitor.wait() }
        }
    }

    /// - Returns: `false` when another job has the helpers.
    private func begin(_ own: Job) -> Bool {
        monitor.locked {
            guard job == nil, helpers == 0 else { return false }
            job = own
            number += 1
            if started < helperCount {
                // Without a thread callers do more themselves.
                if HostThread({ [self] in help() }) != nil { started += 1 }
            }
            for _ in 0..<started { monitor.signalWork() }
            return true
        }
    }

    /// A helper's life.
    private func help() {
        var last: UInt64 = 0
        monitor.lock()
        while true {
            guard let current = job, number != last else {
                monitor.waitForWork()
                continue
            }
            last = number
            helpers += 1
            monitor.unlock()
            current.run()
            monitor.lock()
            helpers -= 1
            if helpers == 0 { monitor.broadcast() }
        }
    }
}
