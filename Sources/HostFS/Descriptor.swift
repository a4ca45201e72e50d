import CLinux
import Glibc
import VFS

/// An open descriptor of the host, closed when the last user lets go.
final class Descriptor: Sendable {
    private let raw: Int32

    init(_ raw: Int32) { self.raw = raw }

    deinit { close(raw) }

    /// The number stays open for the length of `body`.
    func use<R>(_ body: (Int32) throws(VFSError) -> R) throws(VFSError) -> R {
        // Without this the object could go, and its number mean another file, once `raw` is read.
        defer { withExtendedLifetime(self) {} }
        return try body(raw)
    }

    /// Runs a call on the number, again where a signal interrupted it.
    /// - Throws: what `errno` says when the call returns -1.
    func call<R: FixedWidthInteger>(_ body: (Int32) -> R) throws(VFSError) -> R {
        try use { number throws(VFSError) in try HostCall.checked { body(number) } }
    }

    /// An O_PATH descriptor of one entry of this directory; a symbolic link is opened itself.
    func entry(_ name: Name) throws(VFSError) -> Descriptor {
        Descriptor(try call { number in name.withCString { casemate_open_path(number, $0) } })
    }

    func status() throws(VFSError) -> casemate_status {
        var status = casemate_status()
        _ = try call { casemate_status($0, &status) }
        return status
    }

    /// Opens the file behind an O_PATH descriptor. Only for regular files and directories: opening anything else may
    /// block or act.
    func reopen(_ flags: Int32) throws(VFSError) -> Descriptor {
        Descriptor(try call { casemate_reopen($0, flags) })
    }
}

/// System calls as typed throws.
enum HostCall {
    static func checked<R: FixedWidthInteger>(_ body: () -> R) throws(VFSError) -> R {
        while true {
            let result = body()
            guard result == -1 else { return result }
            let number = errno
            guard number == EINTR else { throw VFSError(Errno(rawValue: number)) }
        }
    }
}

extension Name {
    /// The name as C has it: names hold no NUL.
    func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R { bytes.withCString(body) }
}

extension [UInt8] {
    func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { buffer in
            for (index, byte) in enumerated() { buffer.initializeElement(at: index, to: CChar(bitPattern: byte)) }
            buffer.initializeElement(at: count, to: 0)
            return body(UnsafePointer(buffer.baseAddress.unsafelyUnwrapped))
        }
    }
}
