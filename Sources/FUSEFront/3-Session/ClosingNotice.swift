import Glibc
import Synchronization
import VFS

/// Tells those who unmount when the filesystem has really been closed: unmounting returns before that.
///
/// They ask the mount's root for the address of a socket, connect, unmount, and read: one byte, 0 for closed and
/// durable, 1 for a failure followed by its text, or nothing when the process died. The address is an abstract socket
/// with a random name, told only to the mount's owner and root.
final class ClosingNotice: Sendable {
    static let addressBytes = LocalSocket.nameBytes
    /// `_IOR(0xCA, 1, char[64])` of `ioctl(2)`.
    static let command: UInt32 = 2 << 30 | UInt32(addressBytes) << 16 | 0xCA << 8 | 1

    /// The socket's name, NUL-padded, without the NUL in front that makes it abstract.
    let address: [UInt8]
    private let listener: Int32
    private let told = Atomic<Bool>(false)

    /// - Throws: ``FUSEError/system(call:errno:path:)``.
    init() throws(FUSEError) {
        address = LocalSocket.randomName("closing")
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
