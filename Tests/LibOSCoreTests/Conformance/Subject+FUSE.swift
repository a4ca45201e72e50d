import FUSEFront
import Glibc
import Mounting
import Testing
import VFS

/// What a filesystem has and a front does not hand on to its callers.
struct FrontGap: Sendable {
    var feature: Subject.Features
    var reason: String

    /// Of FUSE; `FrontGapTests` sees that each is as told here.
    static let fuse = [
        FrontGap(feature: .unnamedFiles, reason: "libfuse 3.14 does not hand on O_TMPFILE"),
        FrontGap(feature: .sharing, reason: "the kernel does not pass on FICLONE"),
        FrontGap(feature: .shifting, reason: "the kernel does not pass on collapse and insert"),
        FrontGap(feature: .birthTimes, reason: "libfuse 3.14 does not hand on birth times"),
        FrontGap(feature: .accessTimes, reason: "reads from the kernel's cache move no access times"),
        FrontGap(feature: .wholeReads, reason: "the kernel's cache copies page by page, as for most filesystems"),
    ]
}

/// Every filesystem of the project once more, mounted and spoken to by system calls.
extension Subject {
    static let throughFUSE = ["MemFS", "mount of a Namespace", "HostFS", "UnionFS", "EncFS"].map {
        Subject.named($0).throughFUSE
    }

    private static let fuseObstacle: String? =
        ServedMount.isPossible && isPrivileged ? nil : "needs /dev/fuse, and root to act as other users"

    private var throughFUSE: Subject {
        let gaps = FrontGap.fuse.filter { features.contains($0.feature) }
        let build = build
        return Subject(
            name: "\(name) through FUSE", features: gaps.reduce(into: features) { $0.subtract($1.feature) },
            gaps: gaps, obstacle: Self.fuseObstacle
        ) { try Self.mounted(try build()) }
    }

    private static func mounted(_ inner: Specimen) throws -> Specimen {
        let directory = try TemporaryDirectory()
        var options = FUSEOptions()
        options.audience = .everybody
        options.allowsDevices = true
        options.allowsSetUserID = true
        let mount = try ServedMount(inner.files, at: directory.path, options)
        let client = try KernelClient(
            path: directory.path, maximumFileBytes: inner.files.traits.maximumFileBytes)
        let outer = try Specimen(client, below: inner.place, check: { settled(inner) }) {
            client.letGo()
            do { try mount.end() } catch { Issue.record("serving failed: \(error)") }
            directory.remove()
        }
        // Other users' calls are checked here.
        try outer.set(outer.root) { $0.permissions = 0o777 }
        return outer
    }

    /// What is wrong with a mounted filesystem; the kernel tells of closed files a little later.
    private static func settled(_ inner: Specimen) -> [String] {
        for _ in 0..<200 {
            if inner.check() == [] { return [] }
            usleep(10_000)
        }
        return inner.check()
    }
}
