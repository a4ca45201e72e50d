import Glibc
import VFS

/// Sockets by abstract name, unix(7).
package enum LocalSocket {
    /// Non-blocking and close-on-exec.
    package static func make(blocking: Bool = false) throws(FUSEError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, blocking ? type : type | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw FUSEError.system(call: "socket", errno: .last, path: nil) }
        return descriptor
    }

    /// A name of 128 random bits that nobody guesses, NUL-padded to ``nameBytes``, without the NUL in front that makes it
    /// abstract. Whoever may read `/proc/net/unix` sees it all the same: it finds a socket and opens none.
    package static func randomName(_ purpose: String) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        let random = (0..<2).map { _ in String(generator.next() as UInt64, radix: 16) }
        let name = Array(("casemate-\(purpose)-" + random.joined()).utf8.prefix(nameBytes - 1))
        return name + [UInt8](repeating: 0, count: nameBytes - name.count)
    }

    package static let nameBytes = 64

    package static func withAddress(
        _ name: [UInt8], _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(FUSEError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = name.prefix { $0 != 0 }
        let offset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
        let result = withUnsafeMutableBytes(of: &address) { bytes in
            // SAFETY: the name is cut to the room behind the abstract NUL; the pointer stays inside the call.
            let room = UnsafeMutableRawBufferPointer(rebasing: bytes[(offset + 1)...])
            let count = min(name.count, room.count)
            room.copyBytes(from: name.prefix(count))
            guard let base = bytes.baseAddress else { return Int32(-1) }
            return call(base.assumingMemoryBound(to: sockaddr.self), socklen_t(offset + 1 + count))
        }
        guard result == 0 else { throw FUSEError.system(call: "socket address", errno: .last, path: nil) }
    }
}
