import CLinux
import Glibc
import VFS

/// The background process's end: takes the secrets, and says once whether it is mounted.
public struct BackgroundChannel: ~Copyable {
    /// What the launcher passed on.
    public let secrets: SecretParcel
    private var isOpen = true

    /// For the process that ``BackgroundLauncher/launch(_:_:)`` started, before it opens anything.
    /// - Throws: ``FUSEError/system(call:errno:path:)`` in any other process.
    public static func adopt() throws(FUSEError) -> BackgroundChannel {
        for descriptor in [BackgroundLauncher.readyDescriptor, BackgroundLauncher.secretDescriptor] {
            var status = stat()
            guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFIFO else {
                throw FUSEError.system(call: "background channel", errno: .badFileDescriptor, path: nil)
            }
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
        var secrets = SecretParcel()
        try secrets.receive(from: BackgroundLauncher.secretDescriptor)
        close(BackgroundLauncher.secretDescriptor)
        return BackgroundChannel(secrets: secrets)
    }

    private init(secrets: consuming SecretParcel) { self.secrets = secrets }

    /// Lets the launcher return success. The working directory becomes `/`, and standard error the end of the file
    /// `log`, or `/dev/null`.
    /// - Throws: ``FUSEError/system(call:errno:path:)`` for a log that cannot be written; the launcher still waits.
    public mutating func ready(log: String? = nil) throws(FUSEError) {
        let descriptor =
            try log.map { path throws(FUSEError) in try SmallFile.openForAppending(path) }
            ?? casemate_open("/dev/null", O_WRONLY | O_CLOEXEC, 0)
        guard descriptor >= 0, dup2(descriptor, STDERR_FILENO) >= 0 else {
            throw FUSEError.system(call: "dup2", errno: .last, path: log)
        }
        close(descriptor)
        guard chdir("/") == 0 else { throw FUSEError.system(call: "chdir", errno: .last, path: "/") }
        say(.ready)
    }

    /// Lets the launcher return a failure. Nothing when it was told before.
    /// - Parameter exitCode: 1 to 255.
    public mutating func fail(_ message: String, exitCode: Int32) { say(.failed(exitCode: exitCode, message)) }

    private mutating func say(_ report: BackgroundReport) {
        guard isOpen else { return }
        isOpen = false
        let bytes = report.bytes
        // Nobody listens when the launcher was killed; the mount goes on.
        _ = write(BackgroundLauncher.readyDescriptor, bytes, bytes.count)
        close(BackgroundLauncher.readyDescriptor)
    }
}
