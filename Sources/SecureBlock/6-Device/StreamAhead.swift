/// Reads what a row of large reads will ask for next, while they are opened: disk and cipher so work at the same time, and the
/// disk's queue does not run empty between two reads.
///
/// Two reads in a row, one beginning where the other ended, make two pieces of the same size be read beyond; each read that
/// goes on takes one and has another read. One row at a time: of several, the host's queue is full anyway.
///
/// What is kept is what the host gave, with the place and generation that each block was read for. A read asks the map first
/// and takes what was read from the very place it wants; a block of one generation is written once. Nothing is trusted:
/// everything is verified when it is opened.
final class StreamAhead: @unchecked Sendable {
    /// Smaller reads are left to ``ReadAhead``.
    static let leastBlocks = 32
    private static let pieceLimit = 3
    /// Each has one piece under way: when that comes to its end, the other's still fills the queue.
    private static let threadCount = 2

    /// Blocks that are read, or will be.
    final class Piece: @unchecked Sendable {
        let first: UInt64
        let count: Int
        // SAFETY: both are written by the one thread that reads this piece, before the outcome is set, and read after.
        let buffer: AlignedBuffer
        private var places: [(block: PhysicalBlock, generation: Generation)?]
        private let outcome = Monitor<Bool?>(nil)
        private let pool: LargeBufferPool

        init(_ first: UInt64, _ count: Int, _ pool: LargeBufferPool) {
            self.first = first
            self.count = count
            self.pool = pool
            buffer = pool.take()
            places = Array(repeating: nil, count: count)
        }

        deinit { pool.give(buffer) }

        var end: UInt64 { first + UInt64(count) }

        /// Room for `count` blocks from the piece's block `start` on, which lie together from `block` on.
        func room(_ start: Int, _ count: Int, _ block: PhysicalBlock, _ generation: Generation)
            -> UnsafeMutableRawBufferPointer
        {
            for index in 0..<count {
                places[start + index] = (PhysicalBlock(block.rawValue + UInt64(index)), generation)
            }
            return buffer.slice(start * blockBytes, count * blockBytes)
        }

        func finish(_ isRead: Bool) { outcome.change { $0 = isRead } }

        /// Returns when the piece has been read.
        /// - Returns: whether the host gave it.
        func wait() -> Bool { outcome.changeWhen({ $0 != nil }, { $0 ?? false }) }

        /// What was read of `count` blocks from the piece's block `start` on, if it was from `block` on. Once it was waited for.
        func bytes(_ start: Int, _ count: Int, _ block: PhysicalBlock, _ generation: Generation)
            -> UnsafeMutableRawBufferPointer?
        {
            guard start >= 0, start + count <= self.count else { return nil }
            for index in 0..<count {
                guard let place = places[start + index], place.generation == generation,
                    place.block.rawValue == block.rawValue + UInt64(index)
                else { return nil }
            }
            return buffer.slice(start * blockBytes, count * blockBytes)
        }
    }

    private struct State {
        /// Forgets what nobody has read yet; who waits for it reads for itself.
        mutating func drop() {
            for piece in waiting { piece.finish(false) }
            (pieces, waiting) = ([], [])
        }

        /// Where the row goes on.
        var expected: UInt64?
        /// Reads of the row.
        var length = 0
        /// In their order: those that are read, being read, or waiting for it.
        var pieces: [Piece] = []
        var waiting: [Piece] = []
        var threads: [HostThread] = []
        var isStopping = false
    }

    private let state = Monitor(State())

    /// Takes note of a large read, and has what follows it read if it goes on with a row.
    /// - Returns: the piece that was read for it, if there is one; it may be on its way.
    func follow(_ first: UInt64, _ count: Int) -> Piece? {
        guard count >= Self.leastBlocks, count * blockBytes <= LargePages.byteCount else { return nil }
        return state.withLock { state in
            let goesOn = state.expected == first
            state.length = goesOn ? state.length + 1 : 1
            state.expected = first + UInt64(count)
            if !goesOn { state.drop() }
            var taken: Piece?
            if let next = state.pieces.first {
                if next.first == first, next.count >= count { taken = next }
                state.pieces.removeFirst()
            }
            return taken
        }
    }

    /// Has pieces read beyond `first`, where a row of reads of `count` blocks has come to.
    func goOn(from first: UInt64, _ count: Int, of device: SecureDevice) {
        let isNew = state.withLock { state -> Bool in
            guard state.length >= 2, state.expected == first, !state.isStopping else { return false }
            var isNew = false
            while state.pieces.count < Self.pieceLimit {
                let start = state.pieces.last?.end ?? first
                let blocks = Int(
                    min(UInt64(count), device.logicalBlockCount - min(start, device.logicalBlockCount)))
                guard blocks >= Self.leastBlocks else { break }
                let piece = Piece(start, blocks, device.readBuffers)
                state.pieces.append(piece)
                state.waiting.append(piece)
                isNew = true
            }
            return isNew
        }
        guard isNew else { return }
        state.change { state in
            if state.threads.isEmpty, !state.isStopping {
                state.threads = (0..<Self.threadCount).compactMap { _ in
                    HostThread { [state = self.state, weak device] in Self.serve(state) { device } }
                }
            }
            // Without a thread nothing is read ahead, and nobody waits for it.
            if state.threads.isEmpty { state.drop() }
        }
    }

    private static func serve(_ state: Monitor<State>, _ device: () -> SecureDevice?) {
        while true {
            let piece = state.changeWhen({ !$0.waiting.isEmpty || $0.isStopping }) { state in
                state.waiting.isEmpty ? nil : state.waiting.removeFirst()
            }
            guard let piece else { return }
            piece.finish(device()?.fill(piece) ?? false)
        }
    }

    /// Lets the threads end when they have read what waits.
    func stop() { state.change { $0.isStopping = true } }

    /// Returns when the threads have ended; for who stopped them, and is none of them.
    func join() {
        let threads = state.withLock { state in
            defer { state.threads = [] }
            return state.threads
        }
        for thread in threads { thread.join() }
    }
}

extension SecureDevice {
    /// Brings a piece from the host, as far as the host has it.
    fileprivate func fill(_ piece: StreamAhead.Piece) -> Bool {
        do {
            let runs = try pinRuns(LogicalBlock(piece.first), piece.count, zeroing: nil)
            defer { unpin(runs) }
            var batch: [HostRead] = []
            for run in runs where run.record == nil {
                for start in stride(from: 0, to: run.count, by: Fetch.partBlocks) {
                    let count = min(Fetch.partBlocks, run.count - start)
                    let block = PhysicalBlock(run.block.rawValue + UInt64(start))
                    batch.append(
                        HostRead(
                            offset: context.offset(block),
                            buffer: piece.room(run.start + start, count, block, run.generation)))
                }
            }
            try context.host.read(batch)
            return true
        } catch {
            // The read that wants the blocks meets the same and tells its caller.
            return false
        }
    }
}
