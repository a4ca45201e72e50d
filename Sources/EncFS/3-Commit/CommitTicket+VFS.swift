import SecureBlock
import VFS

/// An ordered commit of the filesystem.
final class OrderedCommit: DurabilityTicket {
    private let ticket: any CommitTicket
    private let latch: Latch

    init(_ ticket: any CommitTicket, latch: Latch) {
        self.ticket = ticket
        self.latch = latch
    }

    func wait() throws(VFSError) {
        do throws(DeviceError) {
            try ticket.wait()
        } catch {
            latch.set("commit: \(error.text)")
            throw VFSError(.ioError, fault: "commit: \(error.text)")
        }
    }
}
