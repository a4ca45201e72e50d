import Glibc
import Synchronization
import VFS

/// Tells those who unmount when the filesystem has really been closed: unmounting returns before that.
///
/// They ask the mount's root for the address of a socket, connect, unmount, and read: one byte, 0 for closed and
/// durable, 1 for a failure followed by its text, or nothing when the process died. The address is an abstract socket
/// with a random name, told only to the mount's owner and root.
final class ClosingNotice: Sendable {
    static let addressBytes = 64
    /// `_IOR(0xCA, 1, char[64])` of `ioctl(2)`.
    static let command: UInt32 = 2 << 30 | UInt32(addressBytes) << 16 | 0xCA << 8 | 1

    /// The socket's name, NUL-padded, without the NUL in front that makes it abstract.
    let address: [UInt8]
    private let listener: Int32
    private let told = Atomic<Bool>(false)

    /// - Throws: ``FUSEError/system(call:errno:path:)``.
    init() throws(FUSEError) {
        var generator = SystemRandomNumberGenerator()
        let random = (0..<4).map { _ in String(generator.next() as UInt64, radix: 16) }
        let name = Array("casemate-closing-".utf8) + Array(random.joined().utf8.prefix(40))
        address = name + [UInt8](repeating: 0, count: Self.addressBytes - name.count)
        listener = try LocalSocket.make()
        do throws(FUSEError) {
            try LocalSocket.withAddress(address) { bind(listener, $0, $1) }
            guard listen(listener, 64) == 0 else {
                throw FUSEError.system(call: "listen", errno: .last, path: nil)
            }
        } catch {
            close(listener)
            throw error
        }
    }

    deinit { close(listener) }

    /// Tells everybody who connected. The first call counts.
    func tell(failure: String?) {
        guard !told.exchange(true, ordering: .acquiringAndReleasing) else { return }
        let message: [UInt8] = failure.map { [UInt8(1)] + Array($0.utf8.prefix(4096)) } ?? [UInt8(0)]
        // Whoever unmounted had connected before, so that a queue of connections is all there is to serve.
        while true {
            let connection = accept(listener, nil, nil)
            if connection < 0 { return }
            _ = send(connection, message, message.count, Int32(MSG_NOSIGNAL))
            close(connection)
        }
    }
}

/// Sockets by abstract name, unix(7).
enum LocalSocket {
    /// Non-blocking and close-on-exec.
    static func make(blocking: Bool = false) throws(FUSEError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, blocking ? type : type | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw FUSEError.system(call: "socket", errno: .last, path: nil) }
        return descriptor
    }

    static func withAddress(
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
