import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// The file of a ``FileAnchor``, open and locked as long as this object lives.
final class AnchorFile {
    enum Purpose { case reading, writing }

    private static let lockPatienceMilliseconds = 5000

    private let path: String
    private let descriptor: Int32

    /// `nil` when there is no file and it is only to be read.
    init?(path: String, _ purpose: Purpose) throws(AnchorError) {
        self.path = path
        let flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (purpose == .writing ? O_RDWR | O_CREAT : O_RDONLY)
        descriptor = casemate_open(path, flags, 0o600)
        if descriptor < 0 {
            if errno == ENOENT && purpose == .reading { return nil }
            throw Self.failure("open", path)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("fstat", path) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .unavailable("\(path) is not a regular file") }
        try Self.lock(descriptor, purpose == .writing ? LOCK_EX : LOCK_SH, path)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    func read() throws(AnchorError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: DiskAnchor.fileBytes)
        var done = 0
        while done < bytes.count {
            let start = done
            let count = bytes.withMutableRawBytes { buffer in
                // SAFETY: `start` lies within the buffer, and the call writes at most what remains.
                buffer.baseAddress.map { pread(descriptor, $0 + start, buffer.count - start, off_t(start)) } ?? 0
            }
            if count == 0 { break }
            if count > 0 { done += count } else if errno != EINTR { throw Self.failure("pread", path) }
        }
        return [UInt8](bytes[..<done])
    }

    /// Writes one record; durable on return.
    func write(_ bytes: [UInt8], at offset: Int) throws(AnchorError) {
        try put(bytes, at: offset)
        while fdatasync(descriptor) != 0 {
            if errno != EINTR { throw Self.failure("fdatasync", path) }
        }
    }

    /// Writes the first record and gives the file its size, so that later updates change no metadata; the file's name
    /// too is durable on return. A crash on the way leaves a file without a value, or with this one: the record is one
    /// sector, and sectors are written whole.
    func initialise(_ bytes: [UInt8], at offset: Int) throws(AnchorError) {
        var blocks = [UInt8](repeating: 0, count: DiskAnchor.fileBytes)
        blocks.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        // The record last: while the rest is missing there is no value, and nothing was promised.
        try put([UInt8](blocks[blockBytes...]), at: blockBytes)
        try put([UInt8](blocks[..<blockBytes]), at: 0)
        while fsync(descriptor) != 0 {
            if errno != EINTR { throw Self.failure("fsync", path) }
        }
        try HostFile.makeNameDurable(path, Self.failure)
    }

    private func put(_ bytes: [UInt8], at offset: Int) throws(AnchorError) {
        while true {
            // SAFETY: the call reads `bytes.count` bytes of the array.
            let count = bytes.withRawBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
            if count == bytes.count { return }
            if count >= 0 { throw .unavailable("pwrite \(path): \(count) of \(bytes.count) bytes") }
            if errno != EINTR { throw Self.failure("pwrite", path) }
        }
    }

    private static func lock(_ descriptor: Int32, _ kind: Int32, _ path: String) throws(AnchorError) {
        var waited = 0
        while flock(descriptor, kind | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else { throw failure("flock", path) }
            guard waited < lockPatienceMilliseconds else {
                throw .unavailable("\(path) is locked by another process")
            }
            usleep(1000)
            waited += 1
        }
    }

    private static func failure(_ call: String, _ path: String) -> AnchorError {
        .unavailable("\(call) \(path): \(String(cString: strerror(errno)))")
    }
}
