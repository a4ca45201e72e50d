import CLinux
import CommandSupport
import Glibc
import Logging
import Synchronization

/// Where a mount's log lines go: one line each, to a descriptor or to syslog(3).
struct LineLog: LogHandler {
    enum Target: Sendable {
        case descriptor(Int32)
        case system
    }

    let target: Target
    private let recent = RecentLine()
    var logLevel = Logger.Level.notice
    var metadata = Logger.Metadata()
    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        // In order of their names: dictionaries have none.
        let details = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let text = Self.onOneLine("\(event.message)\(details)")
        // The filesystem and the front each tell of a fault, and the kernel reads twice: once is enough.
        guard recent.isNew(text) else { return }
        switch target {
        case .descriptor(let descriptor): Self.write("\(Self.timestamp()) \(event.level) \(text)\n", to: descriptor)
        case .system:
            text.withCString { text in withVaList([text]) { vsyslog(Self.priority(event.level), "%s", $0) } }
        }
    }

    init(target: Target) { self.target = target }

    /// A file to append to, for its owner alone.
    static func open(_ path: String) throws(CommandFailure) -> Target {
        let descriptor = casemate_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0o600)
        guard descriptor >= 0 else {
            throw CommandFailure(.usage, "the log cannot be opened: \(lastError())", at: path)
        }
        return .descriptor(descriptor)
    }

    /// File names may hold anything; a log line ends where we end it.
    private static func onOneLine(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars {
            if scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) {
                line += scalar.escaped(asASCII: true)
            } else {
                line.unicodeScalars.append(scalar)
            }
        }
        return line
    }

    private static func write(_ line: String, to descriptor: Int32) {
        // One call, so that lines of several threads stay whole; a full disk must not stop the mount.
        var line = line
        line.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
    }

    private static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func priority(_ level: Logger.Level) -> Int32 {
        switch level {
        case .trace, .debug: LOG_DEBUG
        case .info: LOG_INFO
        case .notice: LOG_NOTICE
        case .warning: LOG_WARNING
        case .error: LOG_ERR
        case .critical: LOG_CRIT
        }
    }
}

/// The last line that was written, so that it is not written again right away.
private final class RecentLine: Sendable {
    private static let patience = Duration.seconds(5)
    private let last = Mutex<(text: String, at: ContinuousClock.Instant)?>(nil)

    func isNew(_ text: String) -> Bool {
        let now = ContinuousClock.now
        return last.withLock { last in
            if let last, last.text == text, now - last.at < Self.patience { return false }
            last = (text, now)
            return true
        }
    }
}
