import CLinux
import CommandSupport
import Glibc
import SecureBlock

/// A plain file, with O_DIRECT where the filesystem has it: what the volume is compared with.
final class RawFile: BenchTarget {
    let path: String
    let isDirect: Bool
    private let descriptor: Int32

    /// Makes an empty file.
    init(path: String) throws(CommandFailure) {
        self.path = path
        let opened = casemate_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard opened >= 0 else {
            throw CommandFailure(.hostFailed, "cannot be made: \(lastError())", at: path)
        }
        // tmpfs and some network filesystems refuse O_DIRECT; the result says so.
        isDirect = casemate_set_direct(opened, true) == 0
        descriptor = opened
    }

    deinit {
        close(descriptor)
        unlink(path)
    }

    func write(_ first: UInt64, _ bytes: UnsafeRawBufferPointer) throws(CommandFailure) {
        let written = pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(first) * off_t(blockBytes))
        guard written == bytes.count else {
            throw CommandFailure(.hostFailed, "pwrite failed: \(lastError())", at: path)
        }
    }

    func read(_ first: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) {
        let received = pread(descriptor, buffer.baseAddress, buffer.count, off_t(first) * off_t(blockBytes))
        guard received == buffer.count else {
            throw CommandFailure(.hostFailed, "pread failed: \(lastError())", at: path)
        }
    }

    func sync() throws(CommandFailure) {
        guard fdatasync(descriptor) == 0 else {
            throw CommandFailure(.hostFailed, "fdatasync failed: \(lastError())", at: path)
        }
    }
}
