import Glibc

/// What was done, and what it took.
struct Work {
    var operations: UInt64
    var bytes: UInt64
    var seconds: Double
    /// User and system time of the whole process, the volume's own threads included.
    var processorSeconds: Double

    func figure(_ unit: BenchRow.Unit) -> Double {
        switch unit {
        case .mebibytesASecond: Double(bytes) / Double(1 << 20) / seconds
        case .operationsASecond: Double(operations) / seconds
        case .secondsAGibibyte: processorSeconds / (Double(bytes) / Double(1 << 30))
        case .percent: 0
        }
    }
}

/// Measures from its making on.
struct Stopwatch {
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private let startProcessorSeconds: Double

    init() {
        startProcessorSeconds = Self.processorSeconds
        start = clock.now
    }

    var seconds: Double { (clock.now - start).inSeconds }

    func work(operations: UInt64, bytes: UInt64) -> Work {
        let seconds = seconds
        return Work(
            operations: operations, bytes: bytes, seconds: seconds,
            processorSeconds: Self.processorSeconds - startProcessorSeconds)
    }

    private static var processorSeconds: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
