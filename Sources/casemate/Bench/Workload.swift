import CommandSupport
import SecureBlock

/// One kind of access, the same for both sides.
enum Workload: CaseIterable {
    case sequentialWrite
    case randomWrite
    case writeAndSync
    case sequentialRead
    case randomRead

    var title: String {
        switch self {
        case .sequentialWrite: "sequential write, 1 MiB"
        case .randomWrite: "random write, 4 KiB"
        case .writeAndSync: "4 KiB write + sync, each"
        case .sequentialRead: "sequential read, 1 MiB"
        case .randomRead: "random read, 4 KiB"
        }
    }

    var unit: String {
        switch self {
        case .sequentialWrite, .sequentialRead: "MiB/s"
        case .randomWrite, .writeAndSync, .randomRead: "ops/s"
        }
    }

    /// At most this long, so that a slow disk does not take all day; rates stay comparable.
    private static let limit = Duration.seconds(6)

    /// Runs once over `blocks` blocks, at queue depth 1, and gives the rate in ``unit``.
    ///
    /// The time includes making everything durable at the end: nobody is faster for having written nothing yet.
    func rate(
        _ target: some BenchTarget, blocks: UInt64, buffer: UnsafeMutableRawBufferPointer,
        _ random: inout some RandomNumberGenerator
    ) throws(CommandFailure) -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        let large = UInt64(buffer.count / blockBytes)
        let small = UnsafeMutableRawBufferPointer(rebasing: buffer[..<blockBytes])
        var count: UInt64 = 0
        var isInTime: Bool { clock.now - start < Self.limit }
        switch self {
        case .sequentialWrite:
            while count < blocks / large, isInTime {
                try target.write(count * large, UnsafeRawBufferPointer(buffer))
                count += 1
            }
            try target.sync()
        case .randomWrite:
            while count < blocks / 2, isInTime {
                try target.write(random.next(upperBound: blocks), UnsafeRawBufferPointer(small))
                count += 1
            }
            try target.sync()
        case .writeAndSync:
            while count < 2000, isInTime {
                try target.write(random.next(upperBound: blocks), UnsafeRawBufferPointer(small))
                try target.sync()
                count += 1
            }
        case .sequentialRead:
            while count < blocks / large, isInTime {
                try target.read(count * large, into: buffer)
                count += 1
            }
        case .randomRead:
            while count < blocks / 2, isInTime {
                try target.read(random.next(upperBound: blocks), into: small)
                count += 1
            }
        }
        return Double(count) / (clock.now - start).inSeconds
    }
}

extension Duration {
    /// In seconds.
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}

/// A generator with a seed (SplitMix64, Steele et al. 2014): both sides get the same places.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
