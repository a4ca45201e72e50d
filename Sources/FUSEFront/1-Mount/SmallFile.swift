import CLinux
import Glibc
import VFS

/// Files of `/proc` and `/sys`: read whole, written in one call.
enum SmallFile {
    /// Far above what any of them holds.
    private static let limit = 16 << 20

    static func read(_ path: String) throws(FUSEError) -> [UInt8] {
        let descriptor = casemate_open(path, O_RDONLY | O_CLOEXEC, 0)
        guard descriptor >= 0 else { throw FUSEError.system(call: "open", errno: .last, path: path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 32 << 10)
        while bytes.count < limit {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw FUSEError.system(call: "read", errno: .last, path: path)
            }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return bytes
    }

    static func openForAppending(_ path: String) throws(FUSEError) -> Int32 {
        let descriptor = casemate_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw FUSEError.system(call: "open", errno: .last, path: path) }
        return descriptor
    }

    static func write(_ text: String, to path: String) throws(FUSEError) {
        let descriptor = casemate_open(path, O_WRONLY | O_CLOEXEC, 0)
        guard descriptor >= 0 else { throw FUSEError.system(call: "open", errno: .last, path: path) }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw FUSEError.system(call: "write", errno: .last, path: path)
        }
    }
}

extension Errno {
    /// The calling thread's `errno` now.
    static var last: Errno { Errno(rawValue: errno) }
}
