import CLinux
import Glibc
import VFS

/// A pipe whose ends are close-on-exec, and above the numbers that a started process is given.
final class Pipe {
    private static let firstDescriptor: Int32 = 10
    let reading: Int32
    private(set) var writing: Int32

    init() throws(FUSEError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw FUSEError.system(call: "pipe", errno: .last, path: nil) }
        reading = fcntl(ends[0], F_DUPFD_CLOEXEC, Self.firstDescriptor)
        writing = fcntl(ends[1], F_DUPFD_CLOEXEC, Self.firstDescriptor)
        for end in ends { close(end) }
        guard reading >= 0, writing >= 0 else { throw FUSEError.system(call: "fcntl", errno: .last, path: nil) }
    }

    deinit {
        if reading >= 0 { close(reading) }
        closeWriting()
    }

    func closeWriting() {
        if writing >= 0 { close(writing) }
        writing = -1
    }

    /// Everything until all writers are gone, up to 64 KiB.
    func readAll() -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 64 << 10 {
            let count = read(reading, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            bytes += chunk[..<count]
        }
        return bytes
    }
}
