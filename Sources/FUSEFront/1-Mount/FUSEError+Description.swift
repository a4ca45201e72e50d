extension FUSEError: CustomStringConvertible {
    /// One sentence for a person: what, where, and what to do.
    public var description: String {
        switch self {
        case .unknownOption(let option): "unknown mount option '\(option)'"
        case .unsuitableOption(let option, let reason): "mount option '\(option)': \(reason)"
        case .mountpointMissing(let path): "mountpoint \(path) does not exist; create the directory first"
        case .mountpointNotDirectory(let path): "mountpoint \(path) is not a directory"
        case .mountpointNotEmpty(let path):
            "mountpoint \(path) is not empty; choose an empty directory, or hide its files with -o nonempty"
        case .mountpointHoldsBacking(let mountpoint, let backing):
            "mountpoint \(mountpoint) would hide \(backing), which is what is to be mounted; choose another directory"
        case .mountpointDead(let path):
            "\(path) is still the mount of a process that ended; take it away with 'fusermount3 -u \(path)'"
        case .noFUSEDevice(let errno):
            "/dev/fuse cannot be opened (\(errno)); load the fuse module, or give the device to this container"
        case .noFusermount: "fusermount3 is not installed, and only root can mount without it; install fuse3"
        case .mountRefused(let text): "the mount was refused: \(text)"
        case .system(let call, let errno, let path): "\(call)\(path.map { " \($0)" } ?? ""): \(errno)"
        case .notMounted(let path): "\(path) is not a mountpoint"
        case .notOurs(let path): "\(path) is not a Casemate mount"
        case .busy(let path): "\(path) is in use: files below are open, or are somebody's working directory"
        case .notPermitted(let path): "only the owner of the mount at \(path), and root, may do that"
        case .notDurable(let path, let errno):
            "\(path): what was written last is not durable: \(errno); the mount's log names the cause. Mend it, then "
                + "unmount and mount again; what was synced before is safe"
        case .closingFailed(let text): "unmounted, but closing failed: \(text)"
        case .serverDied(let path):
            "\(path) is unmounted, but its process ended without closing the filesystem; its last changes may be lost"
        case .mountedElsewhere(let path, let process, let place):
            "\(path) is unmounted, but process \(process) still has it mounted at \(place); the volume stays open until that is "
                + "unmounted, too, or the process ends"
        }
    }
}
