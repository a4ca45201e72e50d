/// One line on a terminal that says how far long work is; silent where nobody watches.
///
/// Not for use from two threads at once.
public final class ProgressLine {
    private let title: String
    private let isShown: Bool
    private let clock = ContinuousClock()
    private var lastShown: ContinuousClock.Instant?
    private var widestLine = 0

    /// - Parameter isShown: whether to write at all; by default if standard error is a terminal.
    public init(_ title: String, isShown: Bool = Terminal.isInteractive) {
        self.title = title
        self.isShown = isShown
    }

    /// Shows `done` of `total`, at most ten times a second.
    public func update(_ done: UInt64, of total: UInt64) {
        guard isShown else { return }
        let now = clock.now
        if let lastShown, now - lastShown < .milliseconds(100), done < total { return }
        lastShown = now
        let percent = total == 0 ? 100 : min(100, Int(Double(done) / Double(total) * 100))
        show("\(title): \(percent)%")
    }

    /// Takes the line away, so that what follows starts clean.
    public func finish() {
        guard isShown, widestLine > 0 else { return }
        show("")
        Terminal.writeAll("\r", to: 2)
    }

    private func show(_ line: String) {
        widestLine = max(widestLine, line.count)
        Terminal.writeAll("\r" + line + String(repeating: " ", count: widestLine - line.count), to: 2)
    }
}
