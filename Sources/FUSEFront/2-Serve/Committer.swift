import Synchronization
import VFS

/// Answers `fsync`, so that waiting for durability never holds every serving thread and everybody who waits meanwhile
/// shares the same commit.
///
/// A few serving threads may wait themselves: handing a request to another thread costs a wake-up, which a virtual
/// machine pays dearly. All others are answered by a thread that does nothing else.
final class Committer: Sendable {
    private struct Waiting: Sendable {
        var request: Request
        var ticket: any DurabilityTicket
    }

    /// Serving threads that may wait at once.
    private let waiterLimit: Int
    private let waiters = Atomic<Int>(0)
    private let waiting = Mailbox<Waiting>()
    private let thread: ServiceThread

    /// - Parameter threads: how many serve requests.
    init(threads: Int) throws(FUSEError) {
        waiterLimit = threads / 2
        let waiting = waiting
        thread = try ServiceThread(named: "fuse-commit") {
            while true {
                let batch = waiting.takeAll()
                if batch.isEmpty { return }
                for item in batch { Self.answer(item.request, item.ticket) }
            }
        }
    }

    /// Replies once the ticket's commit is durable: before this returns, or later.
    func answer(_ request: Request, when ticket: any DurabilityTicket) {
        defer { waiters.subtract(1, ordering: .relaxed) }
        if waiters.add(1, ordering: .relaxed).oldValue < waiterLimit { return Self.answer(request, ticket) }
        if ticket is ImmediateTicket || !waiting.post(Waiting(request: request, ticket: ticket)) {
            Self.answer(request, ticket)
        }
    }

    /// Answers what still waits, then ends.
    func finish() {
        waiting.close()
        thread.join()
    }

    private static func answer(_ request: Request, _ ticket: any DurabilityTicket) {
        do throws(VFSError) {
            try ticket.wait()
            request.succeed()
        } catch { request.fail(error) }
    }
}
