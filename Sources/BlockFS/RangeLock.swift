import SecureBlock

/// Locks ranges of blocks: whoever wants one that overlaps waits. For as few holders as there are threads.
final class RangeLock: Sendable {
    private struct State {
        var held: [Range<UInt64>] = []
    }
    private let state = Monitor(State())

    /// Runs `body` while nobody else holds any of `blocks`.
    func hold<Failure: Error>(_ blocks: Range<UInt64>, _ body: () throws(Failure) -> Void) throws(Failure) {
        state.changeWhen({ state in !state.held.contains { $0.overlaps(blocks) } }) { $0.held.append(blocks) }
        defer {
            state.change { state in
                guard let index = state.held.firstIndex(of: blocks) else {
                    preconditionFailure("a range that was held")
                }
                state.held.swapAt(index, state.held.count - 1)
                state.held.removeLast()
            }
        }
        try body()
    }
}
