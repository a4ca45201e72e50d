/// A moment by somebody's clock, in milliseconds since 1970-01-01T00:00:00Z, as people read it.
public struct UTCTime: Hashable, Sendable {
    public let milliseconds: UInt64
    public init(milliseconds: UInt64) { self.milliseconds = milliseconds }

    /// ISO 8601 to the millisecond: `2025-01-31T23:59:59.123Z`.
    ///
    /// Days to year, month and day as in H. Hinnant, "chrono-compatible low-level date algorithms" (civil_from_days): years
    /// begin in March, so that the leap day comes last.
    public var text: String {
        let seconds = milliseconds / 1000
        let days = seconds / 86_400 + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let clock = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map { padded($0, 2) }.joined(
            separator: ":")
        return
            "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T\(clock).\(padded(milliseconds % 1000, 3))Z"
    }

    private func padded(_ number: UInt64, _ digits: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
