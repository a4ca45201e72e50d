import Glibc

extension Timestamp {
    /// The wall clock, `CLOCK_REALTIME`.
    public static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: UInt32(time.tv_nsec))
    }

    /// Whether an access at `now` updates this access time under `relatime` (`mount(8)`): it is not newer than the last
    /// modification or change, or older than a day.
    public func wantsUpdate(at now: Timestamp, modified: Timestamp, changed: Timestamp) -> Bool {
        self <= modified || self <= changed
            || now.seconds.subtractingReportingOverflow(seconds).partialValue >= 86_400
    }
}
