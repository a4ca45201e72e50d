import CFUSE
import Glibc
import VFS

extension Attributes {
    /// As `stat(2)` gives it.
    var status: stat {
        var status = stat()
        status.st_ino = UInt(node.rawValue)
        status.st_mode = mode
        status.st_nlink = nlink_t(linkCount)
        status.st_uid = owner
        status.st_gid = group
        status.st_rdev = UInt(device)
        status.st_size = off_t(clamping: size)
        status.st_blksize = blksize_t(preferredBytes)
        status.st_blocks = blkcnt_t(clamping: blocks512)
        status.st_atim = accessTime.specification
        status.st_mtim = modificationTime.specification
        status.st_ctim = changeTime.specification
        return status
    }
}

extension Timestamp {
    var specification: timespec { timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds)) }

    init(_ time: timespec) {
        // The kernel hands over less than a second of nanoseconds.
        self.init(seconds: Int64(time.tv_sec), nanoseconds: UInt32(clamping: time.tv_nsec))
    }
}
