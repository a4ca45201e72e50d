import Glibc
public import Logging
import Synchronization

/// Faults for the operator, each text at most once in ten seconds: the same bad block met by a program that tries again
/// and again, or reported by the filesystem as well as by the request that met it, is one line.
public final class FaultLog: Sendable {
    private static let quietSeconds = 10
    private static let remembered = 64

    private struct Line {
        var text: String
        var second: Int
    }

    private let logger: Logger
    private let recent = Mutex<[Line]>([])

    public init(_ logger: Logger) { self.logger = logger }

    /// Any thread.
    public func report(_ text: String) {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let second = Int(now.tv_sec)
        let isNew = recent.withLock { recent in
            recent.removeAll { second - $0.second >= Self.quietSeconds }
            guard !recent.contains(where: { $0.text == text }) else { return false }
            if recent.count == Self.remembered { recent.removeFirst() }
            recent.append(Line(text: text, second: second))
            return true
        }
        if isNew { logger.error("\(text)") }
    }
}
