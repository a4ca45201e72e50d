import SimHost
import Simulation
import Testing

/// Random volumes on hostile hosts: seeds from a fixed range, all faults and moves, every oracle at every step.
@Suite struct SwarmTests {
    /// In a release build all of them; a debug build is too slow for more than a taste.
    private static let chunk: UInt64 = isDebugBuild ? 4 : 250
    private static let totals = SwarmTotals()

    /// 5,000 seeds in 20 parts, which run at the same time where there are cores for it.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func seedsHold(part: UInt64) throws {
        for seed in part * Self.chunk + 1...(part + 1) * Self.chunk {
            let result = try Swarm.run(SwarmPlan(seed: seed))
            Self.totals.add(result)
            for violation in result.violations {
                Issue.record("\(violation); repeat with: sim --seed \(seed) --trace")
            }
        }
        if Self.totals.seeds == 20 * Int(Self.chunk) { print("swarm: \(Self.totals.text)") }
    }

    /// Seeds beyond those that were once refuted: each is repeated, whoever was wrong, the device or the oracle.
    @Test(arguments: [11933, 30063, 37273] as [UInt64])
    func seedsOnRecordHold(seed: UInt64) throws {
        #expect(try Swarm.run(SwarmPlan(seed: seed)).violations.isEmpty, "repeat with: sim --seed \(seed) --trace")
    }

    /// Every kind of fault, every move and every change comes to pass within so many seeds; else the swarm shows nothing of it.
    @Test func nothingIsLeftOut() throws {
        var faults: Set<DiskFault> = [], moves: Set<AdversaryMove> = [], changes: Set<SwarmChange> = []
        for seed: UInt64 in 1...3000 {
            let result = try Swarm.run(SwarmPlan(seed: seed))
            faults.formUnion(result.faults.keys)
            moves.formUnion(result.moves.keys)
            changes.formUnion(result.changes.keys)
            if faults.count + moves.count + changes.count
                == DiskFault.allCases.count + AdversaryMove.allCases.count + SwarmChange.allCases.count
            {
                return
            }
        }
        #expect(Set(DiskFault.allCases).subtracting(faults).isEmpty, "never came")
        #expect(Set(AdversaryMove.allCases).subtracting(moves).isEmpty, "never made")
        #expect(Set(SwarmChange.allCases).subtracting(changes).isEmpty, "never came")
    }

    /// Oracle 8: the same seed, the same trace.
    @Test(arguments: [3, 119, 422, 1495, 1686, 4500] as [UInt64])
    func sameSeedSameTrace(seed: UInt64) throws {
        let first = try Swarm.run(SwarmPlan(seed: seed)), second = try Swarm.run(SwarmPlan(seed: seed))
        #expect(first.traceHash == second.traceHash)
        #expect(first.hostCalls == second.hostCalls)
    }

    /// The canary: a lying disk that is taken for an honest one must be found out, and the way there gets shorter.
    @Test func theOraclesCanFail() throws {
        var found: Set<SwarmOracle> = []
        for seed: UInt64 in 1...60 {
            let plan = SwarmPlan(seed: seed)
            guard let first = try Swarm.run(plan, believesHost: true).violations.first else { continue }
            found.insert(first.oracle)
            if found.count == 1 {
                let shorter = try Swarm.minimised(plan, first.oracle, believesHost: true)
                #expect(shorter.steps.count < plan.steps.count)
                let again = try Swarm.run(shorter, believesHost: true).violations
                #expect(again.contains { $0.oracle == first.oracle })
            }
        }
        #expect(found.contains(.oneCommit) || found.contains(.progress))
    }
}
