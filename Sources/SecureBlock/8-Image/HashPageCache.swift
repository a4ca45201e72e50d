/// Pages of hashes that were verified, a bounded number of them; the least useful go first, by the clock algorithm.
///
/// A page that somebody holds stays valid after it went: pages never change.
final class HashPageCache: Sendable {
    struct Key: Hashable, Sendable {
        var level: Int
        var page: UInt64
    }

    private struct Slot: Sendable {
        var key: Key
        var page: AlignedBuffer
        var wasUsed: Bool
    }

    private struct State: Sendable {
        var index: [Key: Int] = [:]
        var slots: [Slot] = []
        var hand = 0
    }

    private let limit: Int
    private let state = Monitor(State())

    /// - Parameter limitPages: at least one.
    init(limitPages: Int) { limit = max(1, limitPages) }

    /// Pages in memory.
    var count: Int { state.withLock { $0.slots.count } }

    subscript(key: Key) -> AlignedBuffer? {
        state.withLock { state in
            guard let slot = state.index[key] else { return nil }
            state.slots[slot].wasUsed = true
            return state.slots[slot].page
        }
    }

    func insert(_ page: AlignedBuffer, _ key: Key) {
        state.withLock { state in
            // Another thread may have read the same one meanwhile.
            guard state.index[key] == nil else { return }
            let slot = Slot(key: key, page: page, wasUsed: false)
            guard state.slots.count == limit else {
                state.index[key] = state.slots.count
                state.slots.append(slot)
                return
            }
            while state.slots[state.hand].wasUsed {
                state.slots[state.hand].wasUsed = false
                state.hand = (state.hand + 1) % limit
            }
            state.index[state.slots[state.hand].key] = nil
            state.slots[state.hand] = slot
            state.index[key] = state.hand
            state.hand = (state.hand + 1) % limit
        }
    }

    /// Whether what is found by its key is in its place, and there are no more pages than there may be.
    func checkInvariants() -> Bool {
        state.withLock { state in
            state.slots.count <= limit && state.index.count == state.slots.count
                && state.index.allSatisfy { state.slots[$0.value].key == $0.key }
        }
    }
}
