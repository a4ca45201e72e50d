import Glibc
import VFS

/// The set-user-ID program that mounts and unmounts for users other than root, fusermount3(1).
enum Fusermount {
    /// The first `fusermount3` on `PATH`, if there is one.
    static func path() -> String? {
        let directories = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        for directory in directories.split(separator: ":") {
            let candidate = "\(directory)/fusermount3"
            if access(candidate, X_OK) == 0 { return candidate }
        }
        return nil
    }

    /// Unmounts `path`; `lazily` even when files are open below.
    /// - Throws: ``FUSEError/noFusermount``, ``FUSEError/busy(_:)`` when it refused.
    static func unmount(_ path: String, lazily: Bool) throws(FUSEError) {
        guard let program = Self.path() else { throw FUSEError.noFusermount }
        let arguments = [program, "-u", "-q"] + (lazily ? ["-z"] : []) + ["--", path]
        let status = try Spawn.run(program, arguments)
        guard status == 0 else { throw FUSEError.busy(path) }
    }
}
