public import VFS

/// Why a mount could not be made, served or taken down. Nothing is left mounted unless the case says so.
public enum FUSEError: Error, Hashable, Sendable {
    // Options.
    /// An option of `-o` that is none.
    case unknownOption(String)
    /// An option of `-o` with a value it cannot have.
    case unsuitableOption(String, reason: String)

    // The mountpoint.
    case mountpointMissing(String)
    case mountpointNotDirectory(String)
    /// It holds files, which the mount would hide.
    case mountpointNotEmpty(String)
    /// What is to be mounted is stored below the mountpoint, or is the mountpoint.
    case mountpointHoldsBacking(mountpoint: String, backing: String)
    /// A mount whose process died is still there; it has to be unmounted first.
    case mountpointDead(String)

    // The system.
    /// `/dev/fuse` is missing or may not be opened: FUSE is not in the kernel or not given to this container.
    case noFUSEDevice(Errno)
    /// Only root mounts without `fusermount3`, and it is not installed.
    case noFusermount
    /// The kernel or `fusermount3` refused; the text says why.
    case mountRefused(String)
    case system(call: String, errno: Errno, path: String?)

    // Unmounting.
    case notMounted(String)
    /// Not one of our mounts: nothing can be waited for.
    case notOurs(String)
    /// Files are still open below. Still mounted.
    case busy(String)
    /// Only the mount's owner and root may.
    case notPermitted(String)
    /// Still mounted, and the `fsync` of the whole filesystem failed.
    case notDurable(String, Errno)
    /// Unmounted, but closing the filesystem failed: what was not synchronised before may be lost.
    case closingFailed(String)
    /// Unmounted, but its process ended without saying that the filesystem was closed.
    case serverDied(String)
    /// Unmounted here, but `process` still has it at `place`, in a mount namespace of its own or bound to another directory:
    /// the filesystem stays open until that goes, too.
    case mountedElsewhere(String, process: Int32, place: String)
}
