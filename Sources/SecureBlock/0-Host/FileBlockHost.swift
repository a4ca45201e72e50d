#if canImport(Glibc)
    import Glibc
#endif

/// A regular file or block device on the host.
///
/// One writer, or any number of readers, has it at a time: the lock is on the open file (`flock(2)`), so a second
/// opening is refused with ``HostError/inUse`` in this process as in any other, and a crash releases it.
///
/// Writes go through io_uring, past the page cache, as many at once as callers begin; where either is refused, a few
/// threads call `pwrite(2)`, or the page cache is used. ``transport`` says what came of it.
public final class FileBlockHost: BlockHost {
    public let transport: String
    public let isReadOnly: Bool
    /// A block device rather than a file.
    public let isDevice: Bool

    private let file: HostFile
    private let writer: (any WriteEngine)?
    private let readers: RingReaderPool?
    private let scattered: ScatteredReads?
    private let calls = HostCalls()
    let tempo = CommitTempo()

    /// Opens what is there.
    /// - Throws: ``HostError/unopenable(path:errno:)``, ``HostError/unsuitable(path:)``, ``HostError/inUse``.
    public static func open(path: String, _ options: FileHostOptions = FileHostOptions()) throws(HostError)
        -> FileBlockHost
    {
        try FileBlockHost(HostFile(path: path, creating: false, options), options)
    }

    /// Makes an empty file, for the owner alone, whose name is durable on return. What is already there is opened as it
    /// is: a block device or an empty file is for a new volume, anything else the layer above refuses.
    public static func create(path: String, _ options: FileHostOptions = FileHostOptions()) throws(HostError)
        -> FileBlockHost
    {
        try FileBlockHost(HostFile(path: path, creating: true, options), options)
    }

    private init(_ file: HostFile, _ options: FileHostOptions) throws(HostError) {
        self.file = file
        isReadOnly = file.isReadOnly
        isDevice = file.isDevice
        scattered = file.cachesReads ? ScatteredReads() : nil
        readers = options.useRing ? RingReaderPool() : nil
        let ringWriter = options.useRing && !file.isReadOnly ? RingWriter(file) : nil
        if let ringWriter {
            writer = ringWriter
        } else if file.isReadOnly {
            writer = nil
        } else if let threads = ThreadWriter(file) {
            writer = threads
        } else {
            throw .failed(call: "pthread_create", errno: EAGAIN, offset: nil)
        }
        let ways = file.isReadOnly ? readers != nil : ringWriter != nil
        transport =
            (ways ? "io_uring" : "pread/pwrite") + (file.isDirect ? ", O_DIRECT" : ", page cache")
            + (file.cachesReads ? ", small reads cached" : "")
    }

    deinit {
        close()
    }

    public func byteCount() throws(HostError) -> UInt64 {
        try calls.enter()
        defer { calls.leave() }
        return try file.byteCount()
    }

    public func read(_ batch: [HostRead]) throws(HostError) {
        try read(batch) { _ in }
    }

    public func read(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
        try read(batch, cached: false, each: isFull)
    }

    public var cachesReads: Bool { file.cachesReads }

    /// Where many come to the same place one by one, all of it is brought into the page cache.
    public func readCached(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
        try read(batch, cached: true, each: isFull)
    }

    private func read(_ batch: [HostRead], cached: Bool, each isFull: (Int) -> Void) throws(HostError) {
        try calls.enter()
        defer { calls.leave() }
        for read in batch { _ = try file.checkedEnd(read.offset, UInt64(read.buffer.count)) }
        if cached, let scattered {
            for read in batch {
                if let place = scattered.note(read.offset) {
                    file.bringIntoCache(place, ScatteredReads.regionBytes)
                }
            }
        }
        if batch.count > 1, let readers {
            try readers.read(batch, file, cached: cached, each: isFull)
        } else {
            for (index, read) in batch.enumerated() {
                try file.read(read.offset, into: read.buffer, cached: cached)
                isFull(index)
            }
        }
    }

    public func beginWrite(at offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) -> HostWrite {
        do throws(HostError) {
            try calls.enter()
            defer { calls.leave() }
            guard let writer else { throw .failed(call: "pwrite", errno: EBADF, offset: offset) }
            _ = try file.checkedEnd(offset, UInt64(bytes.count))
            tempo.note(bytes: bytes.count, isCommit: durable)
            return writer.begin(offset, bytes, durable: durable)
        } catch {
            return .failed(error)
        }
    }

    public func flush() throws(HostError) {
        try calls.enter()
        defer { calls.leave() }
        tempo.note(bytes: 0, isCommit: true)
        try file.flush()
    }

    /// Makes room for a range; nobody may be writing to it meanwhile.
    ///
    /// The file system hands out extents that are marked as not written, and the first write to each makes the flush
    /// behind it wait for a journal commit. Measured on ext4 with direct I/O, time of an 8 KiB write made durable,
    /// against one into space written before: into a hole 1.6, into allocated space 1.5 to 1.6, into space filled with
    /// zeros beforehand 1.0. Filling has its price when data streams: 1 MiB writes run at 0.7 of the speed into
    /// allocated space, and the zeros themselves are as many bytes again. The two meet at about 100 KiB between
    /// commits. So the range is filled when the commits since the last allocation were closer than that, and only
    /// allocated otherwise. When nothing was written yet, at opening, only the beginning is filled: whoever opens waits.
    public func allocate(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try calls.enter()
        defer { calls.leave() }
        guard !file.isWritten(offset, byteCount) else { return }
        let isFresh = file.isUnwritten(offset, byteCount)
        try file.allocate(offset, byteCount)
        guard file.isDirect, isFresh else { return }
        let isFrequent = tempo.takeIsFrequent()
        if isFrequent != false { try fill(offset, isFrequent == nil ? min(byteCount, Self.firstFill) : byteCount) }
    }

    public func punch(offset: UInt64, byteCount: UInt64) throws(HostError) {
        try calls.enter()
        defer { calls.leave() }
        try file.punch(offset, byteCount)
    }

    public func cut(to byteCount: UInt64) throws(HostError) {
        try calls.enter()
        defer { calls.leave() }
        try file.cut(to: byteCount)
    }

    public func close() {
        guard calls.close() else { return }
        writer?.stop()
        file.close()
    }

    /// Filled of a range that is allocated before commits show how often they come: 64 commits of one block.
    private static let firstFill: UInt64 = 512 << 10

    /// Writes zeros over a range that holds nothing.
    private func fill(_ offset: UInt64, _ byteCount: UInt64) throws(HostError) {
        let zeros = AlignedBuffer(byteCount: Int(min(byteCount, 1 << 20)))
        var done: UInt64 = 0
        while done < byteCount {
            let count = Int(min(byteCount - done, UInt64(zeros.bytes.count)))
            try file.write(offset + done, UnsafeRawBufferPointer(zeros.slice(0, count)), durable: false)
            done += UInt64(count)
        }
    }
}
