import Glibc

extension ScryptCost {
    /// The cost of which one guess takes about `milliseconds` on this machine: ``standard`` at least, whatever it takes,
    /// and `memoryLimitBytes` at most.
    ///
    /// Doubling the cost doubles memory and time, so the result is within a factor of two below what was asked for. A
    /// machine with less memory that opens the volume needs ``memoryBytes`` too.
    /// - Throws: what deriving a key from nothing throws.
    public static func calibrated(
        milliseconds: UInt64, memoryLimitBytes: UInt64 = 512 << 20
    ) throws(SealError) -> ScryptCost {
        try calibrated(milliseconds: milliseconds, memoryLimitBytes: memoryLimitBytes, measure: measure)
    }

    /// - Parameter measure: the microseconds that a cost takes.
    static func calibrated(
        milliseconds: UInt64, memoryLimitBytes: UInt64, measure: (ScryptCost) throws(SealError) -> UInt64
    ) throws(SealError) -> ScryptCost {
        // An eighth of the standard's time is long enough to measure and short enough to wait for.
        let sample = ScryptCost(logN: standard.logN - 3)
        // The shorter of two: what else the machine does only ever adds.
        let taken = max(1, min(try measure(sample), try measure(sample)))
        let target = milliseconds.multipliedReportingOverflow(by: 1000)
        let wanted = target.overflow ? UInt64.max : target.partialValue
        var cost = standard
        while true {
            let next = ScryptCost(logN: cost.logN + 1)
            guard next.isSuitable, next.memoryBytes <= min(memoryLimitBytes, Self.memoryLimitBytes),
                taken << UInt64(next.logN - sample.logN) <= wanted
            else { return cost }
            cost = next
        }
    }

    private static func measure(_ cost: ScryptCost) throws(SealError) -> UInt64 {
        let secret = try SecretBytes(byteCount: 16) { _ throws(SealError) in }
        var start = timespec(), end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &start)
        let salt = [UInt8](repeating: 0, count: 16)
        _ = try salt.withRawBytes { salt throws(SealError) in
            try KeyDerivation.scrypt(passphrase: secret, salt: salt, cost: cost)
        }
        clock_gettime(CLOCK_MONOTONIC, &end)
        let seconds = end.tv_sec - start.tv_sec, nanoseconds = end.tv_nsec - start.tv_nsec
        return UInt64(max(seconds * 1_000_000 + nanoseconds / 1000, 0))
    }
}
