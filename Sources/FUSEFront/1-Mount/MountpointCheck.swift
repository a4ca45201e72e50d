import Glibc
import VFS

/// What has to hold before a filesystem is mounted at a directory.
///
/// Callers run it before they open a volume, so that a wrong directory costs no key derivation and changes nothing.
public enum MountpointCheck {
    /// Checks that `mountpoint` is a directory one can mount at, and that FUSE is there.
    /// - Parameters:
    ///   - backing: paths of what is to be mounted; none may lie at or below the mountpoint.
    ///   - hidesFiles: allow a directory that is not empty.
    /// - Returns: the mountpoint as an absolute path without symbolic links.
    /// - Throws: the cases of ``FUSEError`` about mountpoints, ``FUSEError/noFUSEDevice(_:)``,
    ///   ``FUSEError/noFusermount``.
    @discardableResult
    public static func check(
        _ mountpoint: String, backing: [String] = [], hidesFiles: Bool = false
    ) throws(FUSEError) -> String {
        let path = try directory(mountpoint)
        for file in backing {
            let real = try absolute(file)
            if real == path || path == "/" || real.hasPrefix(path + "/") {
                throw FUSEError.mountpointHoldsBacking(mountpoint: mountpoint, backing: file)
            }
        }
        if !hidesFiles, try !isEmpty(path) { throw FUSEError.mountpointNotEmpty(mountpoint) }
        try checkSystem()
        return path
    }

    /// - Throws: ``FUSEError/noFUSEDevice(_:)``; ``FUSEError/noFusermount`` for users other than root.
    public static func checkSystem() throws(FUSEError) {
        guard access("/dev/fuse", F_OK) == 0 else { throw FUSEError.noFUSEDevice(.last) }
        if geteuid() != 0, Fusermount.path() == nil { throw FUSEError.noFusermount }
    }

    /// The absolute path of a mountpoint, without symbolic links.
    package static func directory(_ mountpoint: String) throws(FUSEError) -> String {
        var status = stat()
        guard stat(mountpoint, &status) == 0 else {
            switch errno {
            case ENOENT: throw FUSEError.mountpointMissing(mountpoint)
            case let error where isDead(error): throw FUSEError.mountpointDead(mountpoint)
            case ENOTDIR: throw FUSEError.mountpointNotDirectory(mountpoint)
            default: throw FUSEError.system(call: "stat", errno: .last, path: mountpoint)
            }
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw FUSEError.mountpointNotDirectory(mountpoint) }
        return try absolute(mountpoint)
    }

    package static func absolute(_ path: String) throws(FUSEError) -> String {
        guard let resolved = realpath(path, nil) else {
            throw FUSEError.system(call: "realpath", errno: .last, path: path)
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// What a mount says whose process ended, or is just ending.
    static func isDead(_ error: Int32) -> Bool { error == ENOTCONN || error == ECONNABORTED }

    private static func isEmpty(_ path: String) throws(FUSEError) -> Bool {
        guard let stream = opendir(path) else {
            // The kernel still had the attributes of a dead mount's root, so that stat(2) went well.
            throw isDead(errno) ? .mountpointDead(path) : .system(call: "opendir", errno: .last, path: path)
        }
        defer { closedir(stream) }
        // `.` and `..` are always there.
        for _ in 0..<3 {
            errno = 0
            guard readdir(stream) != nil else {
                guard errno == 0 else { throw FUSEError.system(call: "readdir", errno: .last, path: path) }
                return true
            }
        }
        return false
    }
}
