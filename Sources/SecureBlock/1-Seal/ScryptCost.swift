/// How hard scrypt works for one guess of a passphrase: 128 · N · r bytes of memory, and time in proportion to N · r · p.
public struct ScryptCost: Hashable, Sendable {
    /// The binary logarithm of N, 10 to 20.
    public let logN: UInt8
    /// The block size parameter, 1 to 32.
    public let r: UInt8
    /// The parallelisation parameter, 1 to 16; computed one after the other.
    public let p: UInt8

    public init(logN: UInt8, r: UInt8 = 8, p: UInt8 = 1) {
        self.logN = logN
        self.r = r
        self.p = p
    }

    /// What `create` uses: 128 MiB of memory and a third to half a second of a present-day core.
    public static let standard = ScryptCost(logN: 17)

    /// A few milliseconds, for tests and fixtures whose passphrase is no secret.
    public static let fast = ScryptCost(logN: 10)

    /// What a volume from somebody else may make us spend at most: 1 GiB.
    public static let memoryLimitBytes: UInt64 = 1 << 30

    var n: UInt64 { 1 << UInt64(logN & 63) }

    /// The memory scrypt takes, in bytes.
    public var memoryBytes: UInt64 { 128 * UInt64(r) * (n + UInt64(p)) }

    /// The memory traffic of one guess, in bytes: what its time is in proportion to.
    var workBytes: UInt64 { 128 * n * UInt64(r) * UInt64(p) }

    /// Within the ranges above. Says nothing about the memory.
    var isSuitable: Bool {
        (10...20).contains(logN) && (1...32).contains(r) && (1...16).contains(p)
    }
}
