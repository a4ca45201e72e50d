import Glibc
import Logging

extension Server {
    /// Read-ahead of a FUSE mount is 128 KiB until somebody raises it; requests hold 1 MiB.
    private static let readAheadKilobytes = 1024

    /// INIT is answered: raises the mount's read-ahead where this process may.
    func mountWorks() {
        do throws(FUSEError) {
            guard let mount = try MountTable.top(at: mountpoint) else { return }
            try SmallFile.write(
                "\(Self.readAheadKilobytes)", to: "/sys/class/bdi/\(mount.device)/read_ahead_kb")
        } catch {
            // Users other than root may not; streaming reads are slower then.
            logger.debug("read-ahead stays as it is: \(error)")
        }
    }
}
