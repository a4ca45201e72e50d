import Glibc
public import SecureBlock

/// Writes the blocks of a device, as they are for its user, into a new plain file: sparse where nothing is.
public struct ImageExport {
    /// Why there is no image. What was begun is removed.
    public enum Failure: Error, Hashable, Sendable {
        /// Something is there already, and nothing is ever overwritten.
        case exists(path: String)
        case host(call: String, errno: Int32)
        case device(DeviceError)
    }

    /// Blocks copied at a time.
    private static let pieceBlocks = 256

    private let path: String
    private let descriptor: Int32

    /// Makes the image at `path`, for its owner alone; durable on return, file and name.
    /// - Parameter progress: blocks written so far.
    /// - Returns: how many blocks hold something.
    @discardableResult
    public static func write(
        _ device: SecureDevice, to path: String, progress: (UInt64) -> Void = { _ in }
    ) throws(Failure) -> UInt64 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw errno == EEXIST ? .exists(path: path) : .host(call: "open", errno: errno)
        }
        let export = ImageExport(path: path, descriptor: descriptor)
        defer { close(descriptor) }
        do throws(Failure) {
            let written = try export.copy(device, progress)
            try export.settle()
            return written
        } catch {
            unlink(path)
            throw error
        }
    }

    private func copy(_ device: SecureDevice, _ progress: (UInt64) -> Void) throws(Failure) -> UInt64 {
        guard ftruncate(descriptor, off_t(device.logicalBlockCount) * off_t(blockBytes)) == 0 else {
            throw .host(call: "ftruncate", errno: errno)
        }
        let buffer = AlignedBuffer(byteCount: Self.pieceBlocks * blockBytes)
        var written: UInt64 = 0
        var failure: Failure?
        do throws(DeviceError) {
            try device.forEachRun { first, count throws(DeviceError) in
                var done = 0
                while done < count, failure == nil {
                    let piece = min(count - done, Self.pieceBlocks)
                    let block = LogicalBlock(first.rawValue + UInt64(done))
                    let bytes = buffer.slice(0, piece * blockBytes)
                    try device.read(block, into: bytes)
                    failure = put(UnsafeRawBufferPointer(bytes), at: block)
                    done += piece
                    written += UInt64(piece)
                    progress(written)
                }
            }
        } catch { throw .device(error) }
        if let failure { throw failure }
        return written
    }

    private func put(_ bytes: UnsafeRawBufferPointer, at block: LogicalBlock) -> Failure? {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let offset = off_t(block.rawValue) * off_t(blockBytes) + off_t(done)
            let count = pwrite(descriptor, rest.baseAddress, rest.count, offset)
            if count < 0 {
                if errno == EINTR { continue }
                return .host(call: "pwrite", errno: errno)
            }
            done += count
        }
        return nil
    }

    private func settle() throws(Failure) {
        guard fsync(descriptor) == 0 else { throw .host(call: "fsync", errno: errno) }
        let parent = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .host(call: "open", errno: errno) }
        defer { close(directory) }
        // Some network file systems know no fsync of a directory; there is nothing better to do there.
        guard fsync(directory) == 0 || errno == EINVAL else { throw .host(call: "fsync", errno: errno) }
    }
}
