import SecureBlock
import Simulation

/// Whether the tests' searches find a bug that is switched on.
enum SabotageRun {
    /// - Returns: the exit status: 0 found, 3 not found.
    static func main(_ name: String, _ arguments: Arguments) -> Int32 {
        if name == "list" {
            for sabotage in Sabotage.allCases { Program.say(sabotage.rawValue) }
            return 0
        }
        guard let sabotage = Sabotage(rawValue: name) else {
            Program.complain("sim: no sabotage '\(name)'; 'list' names them")
            return 2
        }
        #if SABOTAGE
            Sabotage.current = sabotage
            guard let found = search(seconds: arguments.seconds ?? 60) else {
                Program.say("\(sabotage.rawValue): not found")
                return 3
            }
            Program.say("\(sabotage.rawValue): \(found)")
            return 0
        #else
            Program.complain("sim: this build has no \(sabotage.rawValue); use scripts/sabotage")
            return 2
        #endif
    }

    #if SABOTAGE
        /// The searches of the tests, each named by its test.
        private static func search(seconds: UInt64) -> String? {
            do {
                if let first = try BindingProbe.run().first {
                    return "BindingTests/nothingOpensAsAnother: \(first)"
                }
            } catch { return "BindingTests/nothingOpensAsAnother: \(error)" }
            let deadline = Deadline(seconds: seconds)
            for seed: UInt64 in 0..<3 {
                let result = CrashSearch.run(
                    seed: seed, isAnchored: seed % 2 == 0, recoveriesEvery: 40, limit: 2500)
                if let first = result.violations.first {
                    return "CrashSearchTests/everyCrashOpensAsOneCommit: \(first)"
                }
            }
            var seed: UInt64 = 1
            while !deadline.isPast, seed <= 5000 {
                if let first = SealFailure.result(SwarmPlan(seed: seed))?.violations.first {
                    return "SwarmTests/seedsHold: seed \(seed): \(first)"
                }
                seed += 1
            }
            return nil
        }
    #endif
}
