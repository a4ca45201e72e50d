import SecureBlock

/// Virtual time: it moves when hosts are called and when it is told to, never by itself.
public final class SimClock: Sendable {
    private let now: Monitor<UInt64>

    /// - Parameter milliseconds: since 1970, at the beginning.
    public init(milliseconds: UInt64 = 1_700_000_000_000) {
        now = Monitor(milliseconds)
    }

    public var milliseconds: UInt64 { now.withLock { $0 } }

    public func advance(milliseconds: UInt64) {
        now.withLock { $0 &+= milliseconds }
    }

    /// For ``DeviceOptions/clock``.
    public var reader: @Sendable () -> UInt64 {
        { self.milliseconds }
    }
}
