public import SecureBlock

extension HistoryPolicy {
    /// A policy in words of a command line: `24h`, `90m`, `7d` or `30s` of time, `512M`, `10G` or `1T` of log, or `none`.
    /// Time is lower case, amounts are upper case.
    public init?(text: String) {
        if text == "none" {
            self = .none
            return
        }
        guard let unit = text.last, let number = UInt64(text.dropLast()), number > 0 else { return nil }
        let factors: [Character: (seconds: UInt64, bytes: UInt64)] = [
            "s": (1, 0), "m": (60, 0), "h": (3600, 0), "d": (86400, 0), "K": (0, 1 << 10), "M": (0, 1 << 20),
            "G": (0, 1 << 30), "T": (0, 1 << 40),
        ]
        guard let factor = factors[unit] else { return nil }
        let (seconds, isTooLong) = number.multipliedReportingOverflow(by: factor.seconds)
        let (bytes, isTooMuch) = number.multipliedReportingOverflow(by: factor.bytes)
        guard !isTooLong, !isTooMuch else { return nil }
        self.init(seconds: seconds, bytes: bytes)
    }

    /// What it says, to people.
    public var words: String {
        guard !isNone else { return "whatever space is left for" }
        var parts: [String] = []
        if seconds > 0 {
            let unit = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")].first { seconds % $0.0 == 0 } ?? (1, "s")
            parts.append("\(seconds / unit.0)\(unit.1)")
        }
        if bytes > 0 {
            let unit: (UInt64, String) =
                [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")].first { bytes % $0.0 == 0 } ?? (
                    1, ""
                )
            parts.append("\(bytes / unit.0)\(unit.1) of log")
        }
        return parts.joined(separator: " and ") + (isStrict ? ", strictly" : ", while there is space")
    }
}
