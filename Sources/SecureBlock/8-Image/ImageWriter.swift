#if canImport(Glibc)
    import Glibc
#endif

/// Makes an image from its blocks, given one after the other.
///
///     let writer = try ImageWriter(on: host, blockCount: 512)
///     try writer.append(bytes)                   // until 512 blocks were given
///     let root = try writer.finish()
///
/// The same blocks make the same bytes and the same root hash, whenever and wherever. The header is written last, after
/// all else is durable: what a crash leaves behind is no image. Memory: 1 MiB, and a page for each level.
public final class ImageWriter {
    private let host: any BlockHost
    private let layout: ImageLayout
    private let hasher: TreeHasher
    /// The page that is being filled on each level, and how many hashes it has.
    private let pages: [AlignedBuffer]
    private var filled: [Int]
    /// How many pages of each level were written.
    private var written: [UInt64]
    private var appended: UInt64 = 0
    /// Blocks on their way to the host; the last one given is the last one here. Zeros are left out: the store has them.
    private let staging = AlignedBuffer(byteCount: 256 * blockBytes)
    private var staged = 0

    /// - Throws: ``ImageError/notEmpty`` unless `host` is empty, ``ImageError/unsuitableSize(blocks:)``.
    public init(on host: any BlockHost, blockCount: UInt64) throws(ImageError) {
        guard let layout = ImageLayout(blockCount: blockCount) else { throw .unsuitableSize(blocks: blockCount) }
        let found: UInt64
        do throws(HostError) { found = try host.byteCount() } catch { throw .host(error) }
        guard found == 0 else { throw .notEmpty }
        do { hasher = try TreeHasher() } catch { throw .crypto("\(error)") }
        self.host = host
        self.layout = layout
        pages = (0..<layout.topLevel).map { _ in AlignedBuffer(byteCount: blockBytes) }
        filled = Array(repeating: 0, count: layout.topLevel)
        written = Array(repeating: 0, count: layout.topLevel)
    }

    /// Takes the next whole blocks.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        precondition(bytes.count % blockBytes == 0, "whole blocks")
        precondition(
            UInt64(bytes.count / blockBytes) <= layout.blockCount - appended, "no more than were announced")
        for start in stride(from: 0, to: bytes.count, by: blockBytes) {
            let block = UnsafeRawBufferPointer(rebasing: bytes[start..<start + blockBytes])
            let hash = try hash(.block(appended), block)
            if block.isZero {
                try putStaged()
            } else {
                staging.slice(staged * blockBytes, blockBytes).copyMemory(from: block)
                staged += 1
            }
            appended += 1
            if staged * blockBytes == staging.bytes.count { try putStaged() }
            try add(hash, level: 1)
        }
    }

    /// Ends the image, after all its blocks. Durable on return.
    /// - Returns: its root hash.
    public func finish() throws(ImageError) -> TreeHash {
        precondition(appended == layout.blockCount, "as many as were announced")
        try putStaged()
        for level in 1...layout.topLevel where filled[level - 1] > 0 { try putPage(level) }
        let header = AlignedBuffer(byteCount: blockBytes)
        guard let top else { preconditionFailure("the page on top was filled") }
        ImageHeader(layout: layout, top: top).serialise(into: header.bytes)
        let root = try hash(.header, UnsafeRawBufferPointer(header.bytes))
        try flush()
        try put(header.bytes, at: 0)
        try flush()
        return root
    }

    /// The hash of the page on top, once it was written.
    private var top: TreeHash?

    private func add(_ hash: TreeHash, level: Int) throws(ImageError) {
        guard level <= layout.topLevel else {
            top = hash
            return
        }
        let index = level - 1
        hash.store(into: pages[index].slice(filled[index] * TreeHash.byteCount, TreeHash.byteCount))
        filled[index] += 1
        if filled[index] == Int(ImageLayout.fanOut) { try putPage(level) }
    }

    private func putPage(_ level: Int) throws(ImageError) {
        let page = pages[level - 1].bytes, number = written[level - 1]
        let hash = try hash(.page(level, number), UnsafeRawBufferPointer(page))
        try put(page, at: layout.offset(level: level, page: number))
        page.initializeMemory(as: UInt8.self, repeating: 0)
        filled[level - 1] = 0
        written[level - 1] += 1
        try add(hash, level: level + 1)
    }

    private func putStaged() throws(ImageError) {
        guard staged > 0 else { return }
        try put(staging.slice(0, staged * blockBytes), at: layout.offset(appended - UInt64(staged)))
        staged = 0
    }

    private func hash(_ place: TreePlace, _ bytes: UnsafeRawBufferPointer) throws(ImageError) -> TreeHash {
        do { return try hasher.hash(place, bytes) } catch { throw .crypto("\(error)") }
    }

    private func put(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(ImageError) {
        do { try host.write(at: offset, UnsafeRawBufferPointer(bytes)) } catch { throw .host(error) }
    }

    private func flush() throws(ImageError) {
        do { try host.flush() } catch { throw .host(error) }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether all bytes are zero.
    package var isZero: Bool {
        guard let first, let start = baseAddress else { return true }
        // SAFETY: both ranges lie within the buffer; comparing it with itself one byte on makes all bytes equal the first.
        return first == 0 && memcmp(start, start + 1, count - 1) == 0
    }
}
