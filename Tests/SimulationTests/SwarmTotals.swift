import SimHost
import Simulation
import Synchronization

/// Sums over runs on several threads.
final class SwarmTotals: Sendable {
    private struct Sums {
        var seeds = 0, openings = 0, faults = 0, moves = 0, changes = 0, sealed = 0
    }
    private let sums = Mutex(Sums())

    func add(_ result: SwarmResult) {
        sums.withLock { sums in
            sums.seeds += 1
            sums.openings += result.openings
            sums.faults += result.faults.values.reduce(0, +)
            sums.moves += result.moves.values.reduce(0, +)
            sums.changes += result.changes.values.reduce(0, +)
            sums.sealed += result.sealedCount
        }
    }

    var seeds: Int { sums.withLock { $0.seeds } }

    var text: String {
        sums.withLock {
            "\($0.seeds) seeds, \($0.openings) openings, \($0.faults) faults, \($0.moves) moves, "
                + "\($0.changes) changes of keys, size and snapshots, "
                + "\($0.sealed) sealed blocks in the ledgers"
        }
    }
}

/// Whether this is a build without optimisation.
let isDebugBuild: Bool = {
    var isDebug = false
    assert(
        {
            isDebug = true; return true
        }())
    return isDebug
}()
