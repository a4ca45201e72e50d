import VFS

/// Answers `fsync`: waits for durability on a thread of its own, so that waiting holds no serving thread and
/// everybody who waits meanwhile shares the same commit.
final class Committer: Sendable {
    private struct Waiting: Sendable {
        var request: Request
        var ticket: any DurabilityTicket
    }

    private let waiting = Mailbox<Waiting>()
    private let thread: ServiceThread

    init() throws(FUSEError) {
        let waiting = waiting
        thread = try ServiceThread(named: "fuse-commit") {
            while true {
                let batch = waiting.takeAll()
                if batch.isEmpty { return }
                for item in batch { Self.answer(item.request, item.ticket) }
            }
        }
    }

    /// Replies once the ticket's commit is durable.
    func answer(_ request: Request, when ticket: any DurabilityTicket) {
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
