/// Tags of recently used records, by the place of their header: what spares a read its header.
///
/// Bounded in bytes; the oldest goes first.
final class TagCache: Sendable {
    final class Tags: Sendable {
        let generation: Generation
        let tags: [Tag]
        init(generation: Generation, tags: [Tag]) {
            self.generation = generation
            self.tags = tags
        }
        var byteCount: Int { 96 + tags.count * Tag.byteCount }
    }

    private struct State {
        var records: [UInt64: Tags] = [:]
        var order: [UInt64] = []
        var head = 0
        var bytes = 0
    }
    private let state = Monitor(State())
    private let limitBytes: Int

    init(limitBytes: Int) { self.limitBytes = limitBytes }

    /// - Returns: `nil` when unknown, or known of another use of the segment.
    func tags(header: PhysicalBlock, _ generation: Generation) -> Tags? {
        state.withLock { state in
            guard let found = state.records[header.rawValue], found.generation == generation else { return nil }
            return found
        }
    }

    func insert(header: PhysicalBlock, _ tags: Tags) {
        state.withLock { state in
            if let old = state.records.updateValue(tags, forKey: header.rawValue) {
                state.bytes -= old.byteCount
            } else {
                state.order.append(header.rawValue)
            }
            state.bytes += tags.byteCount
            while state.bytes > limitBytes, state.head < state.order.count {
                if let old = state.records.removeValue(forKey: state.order[state.head]) {
                    state.bytes -= old.byteCount
                }
                state.head += 1
            }
            if state.head > 4096, state.head * 2 > state.order.count {
                state.order.removeFirst(state.head)
                state.head = 0
            }
        }
    }
}
