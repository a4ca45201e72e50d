import CFUSE
import Glibc

/// The parts of a request as the kernel wrote it that libfuse 3.14 does not hand on; `linux/fuse.h`.
///
/// The bytes come from our own kernel, but are still read with their bounds checked.
struct RawRequest {
    private enum Layout {
        static let length = 0
        static let operation = 4
        static let unique = 8
        static let headerBytes = 40
    }

    private enum Operation {
        static let setAttributes: UInt32 = 4
        static let open: UInt32 = 14
        static let write: UInt32 = 16
        static let initialise: UInt32 = 26
        static let create: UInt32 = 35
    }

    private let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The number of an INIT request, and whether the kernel has `FUSE_HANDLE_KILLPRIV_V2`.
    var initialisation: (unique: UInt64, offersPrivilegeKilling: Bool)? {
        guard word(Layout.operation) == Operation.initialise else { return nil }
        let unique = UInt64(word(Layout.unique)) | UInt64(word(Layout.unique + 4)) << 32
        // fuse_init_in: major, minor, max_readahead, flags.
        return (unique, word(Layout.headerBytes + 12) & PrivilegeNegotiation.flag != 0)
    }

    /// Whether the kernel asks to drop set-user-ID and set-group-ID with this write, truncation or open.
    var killsPrivileges: Bool {
        switch word(Layout.operation) {
        case Operation.setAttributes:
            // fuse_setattr_in.valid, FATTR_KILL_SUIDGID.
            word(Layout.headerBytes) & (1 << 11) != 0
        case Operation.write:
            // fuse_write_in: fh, offset, size, write_flags; FUSE_WRITE_KILL_SUIDGID.
            word(Layout.headerBytes + 20) & (1 << 2) != 0
        case Operation.open:
            // fuse_open_in: flags, open_flags; FUSE_OPEN_KILL_SUIDGID.
            word(Layout.headerBytes + 4) & 1 != 0
        case Operation.create:
            // fuse_create_in: flags, mode, umask, open_flags.
            word(Layout.headerBytes + 12) & 1 != 0
        default: false
        }
    }

    /// 0 beyond the end.
    private func word(_ offset: Int) -> UInt32 {
        guard offset + 4 <= bytes.count else { return 0 }
        return bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }
}
