import ArgumentParser
import CommandSupport
import FUSEFront

struct SyncCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync", abstract: "Make everything in a mounted volume durable.",
        discussion: """
            Returns once all that was written below DIR before is on the disk, and the anchor, if there is one, knows it. The \
            kernel does not tell FUSE filesystems of sync(1), so that one does not help here. A mounted volume also does this \
            by itself every 5 seconds, and for a file's fsync(2).
            """)

    @Argument(help: "Where the volume is mounted.", completion: .directory)
    var directory: String

    func run() throws {
        do {
            try Unmounting.synchronise(directory)
        } catch {
            throw CommandFailure(error, mountpoint: directory)
        }
    }
}
