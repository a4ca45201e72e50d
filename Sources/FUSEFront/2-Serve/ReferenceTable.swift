import Synchronization
import VFS

/// What the kernel holds of a filesystem through one mount: lookup counts and opens.
///
/// The filesystem keeps its own counts; these are what has to be given back when the mount ends without the kernel
/// saying so (it sends no forgets at unmount, and nothing at all when the connection is cut).
final class ReferenceTable: Sendable {
    struct Open: Hashable {
        var node: NodeID
        var handle: Handle
    }

    private struct Shard {
        var lookups: [NodeID: UInt64] = [:]
        var opens: [Open: UInt64] = [:]
    }

    /// Spread over locks by node number; a power of two.
    private static let shardCount = 16
    private let shards: [Cell]

    private final class Cell: Sendable {
        let shard = Mutex(Shard())
    }

    init() { shards = (0..<Self.shardCount).map { _ in Cell() } }

    private func cell(_ node: NodeID) -> Cell {
        shards[Int(truncatingIfNeeded: node.rawValue) & (Self.shardCount - 1)]
    }

    func addLookup(_ node: NodeID) {
        cell(node).shard.withLock { $0.lookups[node, default: 0] += 1 }
    }

    /// - Returns: how many of `count` were really held: the kernel is trusted, but not with an underflow.
    func removeLookups(_ node: NodeID, _ count: UInt64) -> UInt64 {
        cell(node).shard.withLock { shard in
            guard let held = shard.lookups[node] else { return 0 }
            let removed = min(held, count)
            shard.lookups[node] = held == removed ? nil : held - removed
            return removed
        }
    }

    func knows(_ node: NodeID) -> Bool { cell(node).shard.withLock { $0.lookups[node] != nil } }

    func addOpen(_ node: NodeID, _ handle: Handle) {
        cell(node).shard.withLock { $0.opens[Open(node: node, handle: handle), default: 0] += 1 }
    }

    /// - Returns: whether it was open.
    func removeOpen(_ node: NodeID, _ handle: Handle) -> Bool {
        let open = Open(node: node, handle: handle)
        return cell(node).shard.withLock { shard in
            guard let held = shard.opens[open] else { return false }
            shard.opens[open] = held == 1 ? nil : held - 1
            return true
        }
    }

    /// Gives everything back: opens first, then lookups, by node number.
    func releaseAll(_ closing: (NodeID, Handle) -> Void, _ forgetting: (NodeID, UInt64) -> Void) {
        for cell in shards {
            let shard = cell.shard.withLock { shard in
                let taken = shard
                shard = Shard()
                return taken
            }
            let opens = shard.opens.sorted {
                ($0.key.node, $0.key.handle.rawValue) < ($1.key.node, $1.key.handle.rawValue)
            }
            for (open, count) in opens { for _ in 0..<count { closing(open.node, open.handle) } }
            for (node, count) in shard.lookups.sorted(by: { $0.key < $1.key }) { forgetting(node, count) }
        }
    }

    /// Every count is above zero and in the shard of its node.
    func checkInvariants() {
        for (index, cell) in shards.enumerated() {
            cell.shard.withLock { shard in
                for (node, count) in shard.lookups {
                    precondition(
                        count > 0 && Int(truncatingIfNeeded: node.rawValue) & (Self.shardCount - 1) == index)
                }
                for (open, count) in shard.opens {
                    precondition(
                        count > 0 && Int(truncatingIfNeeded: open.node.rawValue) & (Self.shardCount - 1) == index)
                }
            }
        }
    }
}
