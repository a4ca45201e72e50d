import Glibc

/// How a filesystem is mounted: what `-o` of FUSE programs says, checked.
public struct FUSEOptions: Sendable, Hashable {
    public enum Audience: Sendable, Hashable {
        /// Only the user who mounts.
        case owner
        /// That user and root.
        case ownerAndRoot
        case everybody
    }

    public var readOnly = false
    /// Who may enter the mount at all. Others than the owner need `user_allow_other` in `/etc/fuse.conf`, or root.
    public var audience = Audience.owner
    /// The kernel checks modes and owners on every access. Without it everybody let in may do everything.
    public var checksPermissions = true
    public var allowsSetUserID = false
    public var allowsDevices = false
    public var allowsExecution = true
    public var updatesAccessTimes = true
    /// What `mount` and `df` show as the source.
    public var sourceName: String?
    /// What `mount` shows behind `fuse.`; the filesystem's type name when not given.
    public var subtype: String?
    /// The largest read request in bytes, a multiple of 4096.
    public var maximumReadBytes: Int?
    /// `fusermount3` stays behind to unmount when this process dies; whether it manages is its matter and the kernel's.
    public var unmountsWhenKilled = false
    /// Mount over a directory that is not empty.
    public var hidesFiles = false
    /// Requests served at the same time; chosen by the number of processors when not given.
    public var threads: Int?
    /// Seconds between timed commits, for the caller to hand to its filesystem: the front has no timer.
    public var commitSeconds: Int?
    /// Give the host back what is free on the volume, for the caller to hand to its device.
    public var returnsFreeSpace = false
    /// End on `SIGINT`, `SIGTERM` and `SIGHUP` with a clean unmount.
    public var handlesSignals = true

    public init() {}

    /// How many threads serve.
    var threadCount: Int { threads ?? min(16, max(4, 2 * Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))) }
}
