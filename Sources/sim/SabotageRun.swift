import EncFS
import FileSimulation
import SecureBlock
import SimHost
import Simulation

/// Whether the tests' searches find a bug that is switched on.
enum SabotageRun {
    /// - Returns: the exit status: 0 found, 3 not found.
    static func main(_ name: String, _ arguments: Arguments) -> Int32 {
        if name == "list" {
            for sabotage in Sabotage.allCases { Program.say(sabotage.rawValue) }
            for sabotage in FileSabotage.allCases where sabotage != .none {
                Program.say(prefix + sabotage.rawValue)
            }
            return 0
        }
        let file = name.hasPrefix(prefix) ? FileSabotage(rawValue: String(name.dropFirst(prefix.count))) : nil
        let sabotage = Sabotage(rawValue: name)
        guard file != nil || sabotage != nil else {
            Program.complain("sim: no sabotage '\(name)'; 'list' names them")
            return 2
        }
        #if SABOTAGE
            Sabotage.current = sabotage ?? .none
            FileSabotage.current = file ?? .none
            let deadline = Deadline(seconds: arguments.seconds ?? 60)
            var found: String?
            if sabotage != nil { found = searchDevice(from: arguments.first, until: deadline) }
            if found == nil, file != nil || sabotage == Sabotage.none { found = searchFiles(until: deadline) }
            Program.say("\(name): \(found ?? "not found")")
            return found == nil ? 3 : 0
        #else
            Program.complain("sim: this build has no \(name); use scripts/sabotage")
            return 2
        #endif
    }

    /// Before the names of bugs in `EncFS`.
    private static let prefix = "EncFS."

    #if SABOTAGE
        private static let suite = "CrashSearchTests/"

        /// The searches of the device's tests, each named by its test: first the narrow ones, then the swarm.
        private static func searchDevice(from first: UInt64, until deadline: Deadline) -> String? {
            if first > 1 { return swarm(from: first, until: deadline) }
            do {
                if let first = try BindingProbe.run().first {
                    return "BindingTests/nothingOpensAsAnother: \(first)"
                }
            } catch { return "BindingTests/nothingOpensAsAnother: \(error)" }
            if let found = narrow(until: deadline) { return found }
            // One whole workload of each kind with few crashes at each moment; the swarm for a while; more workloads, and a
            // few moments with all crashes.
            for seed: UInt64 in 0..<4 where !deadline.isPast {
                if let found = crashes(seed..<seed + 1, .quick, limit: 3000) { return found }
            }
            if !deadline.isPast, let found = swarm(from: 1, until: Deadline(seconds: 15)) { return found }
            for seed: UInt64 in 4..<16 where !deadline.isPast {
                if let found = crashes(seed..<seed + 1, seed < 12 ? .quick : .exhaustive(seed: 1), limit: 2500) {
                    return found
                }
            }
            return swarm(from: 1001, until: deadline)
        }

        /// What only one kind of failure shows.
        private static func narrow(until deadline: Deadline) -> String? {
            let searches: [(test: String, run: () -> CrashSearch.Result)] =
                [("oneRootIsEnough", { CrashSearch.withOneRoot(seed: 1) })]
                + [1, 0].map { seed in
                    ("whatADeadProcessLeftIsFlushedFirst", { CrashSearch.afterDeath(seed: seed, limit: 5000) })
                }
                + (0..<3).map { flush in
                    (
                        "aFailedFlushAcknowledgesNothing",
                        {
                            CrashSearch.run(
                                seed: UInt64(flush), isAnchored: flush % 2 == 0, limit: 2500, policy: .quick,
                                failsFlush: flush)
                        }
                    )
                } + [("aReadErrorIsNoEndOfTheLog", { CrashSearch.withReadErrors(seed: 1) })]
            for search in searches where !deadline.isPast {
                if let first = search.run().violations.first { return "\(suite)\(search.test): \(first)" }
            }
            return nil
        }

        private static func crashes(_ seeds: Range<UInt64>, _ policy: CrashPolicy, limit: Int) -> String? {
            for seed in seeds {
                let result = CrashSearch.run(
                    seed: seed, steps: 80, recoveriesEvery: 100, limit: limit, policy: policy)
                if let first = result.violations.first { return "\(suite)everyCrashOpensAsOneCommit: \(first)" }
            }
            return nil
        }

        private static func swarm(from first: UInt64, until deadline: Deadline) -> String? {
            var seed = first
            while !deadline.isPast, seed < first + 5000 {
                if let first = SealFailure.result(SwarmPlan(seed: seed))?.violations.first {
                    return "SwarmTests/seedsHold: seed \(seed): \(first)"
                }
                seed += 1
            }
            return nil
        }

        /// Those of the filesystem's: single operations, pairs with few crashes of each, a chain, then all.
        private static func searchFiles(until deadline: Deadline) -> String? {
            let operations = FileOperation.allCases
            let pairs = operations.flatMap { first in operations.map { [first, $0] } }
            let name = "CrashSequenceTests/everyCrashIsOneCommit"
            for sequence in operations.map({ [$0] }) where !deadline.isPast {
                if let first = FileCrashSearch.run(sequence).violations.first { return "\(name): \(first)" }
            }
            for sequence in pairs where !deadline.isPast {
                let result = FileCrashSearch.run(sequence, .quick, checksEvery: 4)
                if let first = result.violations.first { return "\(name): \(first)" }
            }
            if let first = FileChainSearch.run().violations.first {
                return "CrashSequenceTests/aChainThatACrashCutIsFinished: \(first)"
            }
            for sequence in pairs where !deadline.isPast {
                if let first = FileCrashSearch.run(sequence).violations.first { return "\(name): \(first)" }
            }
            return nil
        }
    #endif
}
