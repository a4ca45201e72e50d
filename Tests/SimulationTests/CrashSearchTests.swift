import Simulation
import Synchronization
import Testing

/// Every crash of many workloads (I5, I6, I8, I11): all subsets of up to eight unflushed writes and torn last ones.
@Suite struct CrashSearchTests {
    private static let parts = 8
    private static let found = Mutex((parts: 0, total: CrashSearch.Result()))

    /// In a release build more than 500,000 distinct images in all; a debug build gets a taste.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func everyCrashOpensAsOneCommit(part: UInt64) {
        let wanted = isDebugBuild ? 100 : 63_000
        var result = CrashSearch.Result()
        var seed = part * 1000
        while result.images < wanted, result.violations.isEmpty {
            result += CrashSearch.run(
                seed: seed, isAnchored: seed % 2 == 0, steps: isDebugBuild ? 10 : 60,
                recoveriesEvery: isDebugBuild ? 40 : 400, limit: wanted)
            seed += 1
        }
        for violation in result.violations.prefix(5) { Issue.record("\(violation)") }
        let total = Self.found.withLock { found -> CrashSearch.Result? in
            found.total += result
            found.parts += 1
            return found.parts == Self.parts ? found.total : nil
        }
        guard let total else { return }
        print("crashes: \(total.images) distinct images, \(total.insideRecovery) of them inside recovery")
        #expect(total.images > (isDebugBuild ? 800 : 500_000))
        #expect(total.insideRecovery > (isDebugBuild ? 0 : 10_000))
    }
}
