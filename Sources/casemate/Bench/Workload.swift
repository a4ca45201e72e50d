import CommandSupport
import SecureBlock
import SeededRandom

/// One kind of access, the same for both sides.
enum Workload: Sendable {
    case sequentialWrite
    case sequentialRead
    /// As many places, each once, as there is time for.
    case randomWrite
    /// Every block once, however long it takes.
    case randomOverwrite
    /// So many reads and no more.
    case firstReads(UInt64)
    case randomRead
    case deepRead(threads: Int)
    case writeAndCommit(every: UInt64)

    /// Runs once. The time includes making everything durable at the end: nobody is faster for having written nothing yet.
    /// - Parameter seed: of the places. Two workloads with one seed would visit places in one order, and what was written in
    ///   an order lies in it in a log.
    func run(_ target: some BenchTarget, _ scale: BenchScale, seed: UInt64) throws(CommandFailure) -> Work {
        var random = SeededGenerator(seed: seed)
        switch self {
        case .sequentialWrite: return try sequence(scale, BenchScale.writeBytes, target.write, target.sync)
        case .sequentialRead:
            return try sequence(
                scale, BenchScale.readBytes,
                { (first, bytes) throws(CommandFailure) in
                    try target.read(first, into: UnsafeMutableRawBufferPointer(mutating: bytes))
                })
        case .randomWrite, .randomOverwrite: return try overwrite(target, scale, &random)
        case .firstReads(let count): return try reads(target, scale, atMost: count, &random)
        case .randomRead: return try reads(target, scale, atMost: .max, &random)
        case .deepRead(let threads): return try deepReads(target, scale, threads, seed)
        case .writeAndCommit(let every): return try commits(target, scale, every: every, &random)
        }
    }

    private func sequence(
        _ scale: BenchScale, _ pieceBytes: Int,
        _ transfer: (UInt64, UnsafeRawBufferPointer) throws(CommandFailure) -> Void,
        _ finish: () throws(CommandFailure) -> Void = {}
    ) throws(CommandFailure) -> Work {
        let piece = UnsafeRawBufferPointer(scale.buffer.slice(0, pieceBytes))
        let pieceBlocks = UInt64(pieceBytes / blockBytes)
        var count: UInt64 = 0
        let watch = Stopwatch()
        while count < scale.blocks / pieceBlocks, watch.seconds < scale.limitSeconds {
            try transfer(count * pieceBlocks, piece)
            count += 1
        }
        try finish()
        return watch.work(operations: count, bytes: count * UInt64(pieceBytes))
    }

    private func overwrite(_ target: some BenchTarget, _ scale: BenchScale, _ random: inout SeededGenerator)
        throws(CommandFailure) -> Work
    {
        let places = (0..<scale.blocks).shuffled(using: &random)
        let isTimed = if case .randomWrite = self { true } else { false }
        var count = 0
        let watch = Stopwatch()
        while count < places.count, !isTimed || watch.seconds < scale.limitSeconds {
            try target.write(places[count], scale.block)
            count += 1
        }
        try target.sync()
        return watch.work(operations: UInt64(count), bytes: UInt64(count * blockBytes))
    }

    private func reads(
        _ target: some BenchTarget, _ scale: BenchScale, atMost most: UInt64, _ random: inout SeededGenerator
    ) throws(CommandFailure) -> Work {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        var count: UInt64 = 0
        let watch = Stopwatch()
        while count < most, watch.seconds < scale.limitSeconds {
            try target.read(random.next(upperBound: scale.blocks), into: buffer.bytes)
            count += 1
        }
        return watch.work(operations: count, bytes: count * UInt64(blockBytes))
    }

    private func commits(
        _ target: some BenchTarget, _ scale: BenchScale, every: UInt64, _ random: inout SeededGenerator
    ) throws(CommandFailure) -> Work {
        var count: UInt64 = 0
        let watch = Stopwatch()
        while watch.seconds < scale.limitSeconds {
            for _ in 0..<every { try target.write(random.next(upperBound: scale.blocks), scale.block) }
            try target.sync()
            count += every
        }
        return watch.work(operations: count, bytes: count * UInt64(blockBytes))
    }

    /// As many reads at once as there are threads: the volume has no calls that return before their answer.
    private func deepReads(_ target: some BenchTarget, _ scale: BenchScale, _ threadCount: Int, _ seed: UInt64)
        throws(CommandFailure) -> Work
    {
        let outcome = Monitor<Result<UInt64, CommandFailure>>(.success(0))
        let watch = Stopwatch()
        let threads = (0..<threadCount).compactMap { index in
            HostThread {
                var random = SeededGenerator(seed: seed &+ UInt64(index) &* 0x1_0000_0001)
                let end: Result<UInt64, CommandFailure>
                do throws(CommandFailure) {
                    end = .success(try reads(target, scale, atMost: .max, &random).operations)
                } catch { end = .failure(error) }
                outcome.withLock { outcome in outcome = outcome.flatMap { sum in end.map { sum + $0 } } }
            }
        }
        for thread in threads { thread.join() }
        guard threads.count == threadCount else {
            throw CommandFailure(.hostFailed, "the system gives no \(threadCount) threads")
        }
        let count = try outcome.withLock { $0 }.get()
        return watch.work(operations: count, bytes: count * UInt64(blockBytes))
    }
}
