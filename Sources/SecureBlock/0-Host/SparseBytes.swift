/// The contents of a store in memory: a value of a given size in which chunks never written take no space.
///
/// Copies share chunks until one of them writes, so thousands of crash images of one volume cost what they differ in.
package struct SparseBytes: Sendable {
    /// The unit of sharing and of holes.
    package static let chunkBytes = 32 << 10

    /// Empty where nothing was written.
    private var chunks: [[UInt8]] = []
    package private(set) var byteCount = 0

    package init() {}

    /// The end of a range of bytes, if there can be such a range: up to 16 TiB, as even a hole takes some memory.
    package static func end(of offset: UInt64, byteCount: some BinaryInteger) throws(HostError) -> Int {
        let (end, overflow) = offset.addingReportingOverflow(UInt64(clamping: byteCount))
        guard !overflow, let end = Int(exactly: end), end <= 1 << 44 else { throw .beyondEnd(offset: offset) }
        return end
    }

    /// Grows to at least `byteCount` bytes of zeros; never shrinks.
    package mutating func grow(to byteCount: Int) {
        guard byteCount > self.byteCount else { return }
        let wanted = (byteCount + Self.chunkBytes - 1) / Self.chunkBytes
        if wanted > chunks.count {
            chunks.append(contentsOf: repeatElement([], count: wanted - chunks.count))
        }
        self.byteCount = byteCount
    }

    /// Cuts everything from `byteCount` on.
    package mutating func truncate(to byteCount: Int) {
        guard byteCount < self.byteCount else { return }
        erase(byteCount..<self.byteCount)
        chunks.removeLast(chunks.count - (byteCount + Self.chunkBytes - 1) / Self.chunkBytes)
        self.byteCount = byteCount
    }

    /// Copies out `[offset, offset + buffer.count)`, which must lie within.
    package func read(_ offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        precondition(offset >= 0 && offset <= byteCount - buffer.count, "a read within the store")
        Self.forEachPiece(offset, buffer.count) { chunk, start, done, count in
            // SAFETY: `forEachPiece` keeps `start + count` within a chunk and `done + count` within `buffer`.
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            if chunks[chunk].isEmpty {
                target.initializeMemory(as: UInt8.self, repeating: 0)
            } else {
                chunks[chunk].withUnsafeBytes { bytes in
                    target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
                }
            }
        }
    }

    /// Copies in, growing as needed.
    package mutating func write(_ offset: Int, _ source: UnsafeRawBufferPointer) {
        precondition(offset >= 0, "a write within the store")
        grow(to: offset + source.count)
        Self.forEachPiece(offset, source.count) { chunk, start, done, count in
            if chunks[chunk].isEmpty { chunks[chunk] = [UInt8](repeating: 0, count: Self.chunkBytes) }
            chunks[chunk].withUnsafeMutableBytes { bytes in
                // SAFETY: as in `read`.
                UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + count])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[done..<done + count]))
            }
        }
    }

    package mutating func write(_ offset: Int, _ source: [UInt8]) {
        source.withUnsafeBytes { write(offset, $0) }
    }

    /// Makes the range, cut to what there is, read as zeros; whole chunks give their memory back.
    package mutating func erase(_ range: Range<Int>) {
        let range = range.clamped(to: 0..<byteCount)
        Self.forEachPiece(range.lowerBound, range.count) { chunk, start, _, count in
            if count == Self.chunkBytes {
                chunks[chunk] = []
            } else if !chunks[chunk].isEmpty {
                chunks[chunk].withUnsafeMutableBytes { bytes in
                    for index in start..<start + count { bytes[index] = 0 }
                }
            }
        }
    }

    /// Splits a range at chunk borders: chunk, start within it, bytes done before, count.
    private static func forEachPiece(_ offset: Int, _ count: Int, _ body: (Int, Int, Int, Int) -> Void) {
        var done = 0
        while done < count {
            let (chunk, start) = (offset + done).quotientAndRemainder(dividingBy: chunkBytes)
            let piece = min(chunkBytes - start, count - done)
            body(chunk, start, done, piece)
            done += piece
        }
    }
}
