/// Ciphertext that was read ahead of small reads going forward through the log.
///
/// What was written together lies together, so a tree of small files, or the nodes of a metadata tree, is read back as many
/// small reads, each a little behind the last. Two such reads in a row fetch a window of the log beyond what they ask for, and
/// those that follow find it here. Reads that are scattered, or large, leave no trace.
///
/// Nothing here is trusted: it is what the host gave, verified whenever it is used. A block of one generation is written once,
/// so a window of a segment that no stream writes any more stays right until the segment is used again, under another
/// generation.
final class ReadAhead: Sendable {
    /// Reads of more blocks than this fill the host's queue by themselves.
    static let smallBlocks = 8
    /// 256 KiB: a disk spends about as long on the way to the first byte as on these.
    static let windowBlocks = 64
    private static let windowLimit = 8
    private static let trailLimit = 8

    private struct Window {
        var first: PhysicalBlock
        var count: Int
        var generation: Generation
        var buffer: AlignedBuffer
    }

    /// Where a row of small reads has come to.
    private struct Trail {
        var end: PhysicalBlock
        var isFollowed = false
    }

    private struct State {
        /// The oldest first.
        var windows: [Window] = []
        var trails: [Trail] = []
        var spare: [AlignedBuffer] = []
    }

    private let state = Monitor(State())

    /// Copies blocks out of a window.
    /// - Returns: `false` when no window has them all.
    func copy(_ first: PhysicalBlock, _ generation: Generation, into target: UnsafeMutableRawBufferPointer) -> Bool
    {
        let count = target.count / blockBytes
        return state.withLock { state in
            for window in state.windows.reversed() {
                guard window.generation == generation, first >= window.first,
                    first.rawValue + UInt64(count) <= window.first.rawValue + UInt64(window.count)
                else { continue }
                let skip = Int(first.rawValue - window.first.rawValue) * blockBytes
                target.copyMemory(from: UnsafeRawBufferPointer(window.buffer.slice(skip, target.count)))
                return true
            }
            return false
        }
    }

    /// Takes note of a small read.
    /// - Parameter window: blocks that the caller will read if this returns `true`.
    /// - Returns: whether it goes on where an earlier one, or the window it led to, ended.
    func follow(_ first: PhysicalBlock, count: Int, window: Int) -> Bool {
        state.withLock { state in
            let reach = UInt64(Self.windowBlocks)
            if let index = state.trails.firstIndex(where: {
                first >= $0.end && first.rawValue - $0.end.rawValue < reach
            }) {
                var trail = state.trails.remove(at: index)
                let isFollowed = trail.isFollowed
                trail.end = PhysicalBlock(first.rawValue + UInt64(isFollowed ? window : count))
                trail.isFollowed = true
                state.trails.append(trail)
                return isFollowed
            }
            if state.trails.count == Self.trailLimit { state.trails.removeFirst() }
            state.trails.append(Trail(end: PhysicalBlock(first.rawValue + UInt64(count))))
            return false
        }
    }

    /// Room for a window.
    func takeBuffer() -> AlignedBuffer {
        state.withLock { $0.spare.popLast() } ?? AlignedBuffer(byteCount: Self.windowBlocks * blockBytes)
    }

    /// Gives back what ``takeBuffer()`` gave and nobody filled.
    func giveBack(_ buffer: AlignedBuffer) { state.withLock { $0.spare.append(buffer) } }

    /// Keeps a window in place of the oldest.
    /// - Parameter buffer: from ``takeBuffer()``, holding `count` blocks from `first` on.
    func insert(_ first: PhysicalBlock, count: Int, _ generation: Generation, _ buffer: AlignedBuffer) {
        state.withLock { state in
            if state.windows.count == Self.windowLimit { state.spare.append(state.windows.removeFirst().buffer) }
            state.windows.append(Window(first: first, count: count, generation: generation, buffer: buffer))
        }
    }
}
