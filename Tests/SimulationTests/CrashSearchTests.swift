import SimHost
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
            result +=
                isDebugBuild
                ? CrashSearch.run(
                    seed: seed, isAnchored: seed % 2 == 0, steps: 10, recoveriesEvery: 40, limit: wanted)
                : CrashSearch.run(seed: seed, limit: wanted)
            seed += 1
        }
        for violation in result.violations.prefix(5) { Issue.record("\(violation)") }
        let total = Self.found.withLock { found -> CrashSearch.Result? in
            found.total += result
            found.parts += 1
            return found.parts == Self.parts ? found.total : nil
        }
        guard let total else { return }
        print(
            "crashes: \(total.images) distinct images, \(total.insideRecovery) of them inside recovery, \(total.relocatedBlocks) blocks moved by the cleaner"
        )
        #expect(isDebugBuild || total.relocatedBlocks > 30)
        #expect(total.images > (isDebugBuild ? 800 : 500_000))
        #expect(total.insideRecovery > (isDebugBuild ? 0 : 10_000))
    }

    /// What a failed flush left behind is unknown for good (I5): after it nothing is acknowledged, whatever else succeeds.
    @Test(arguments: 0..<6)
    func aFailedFlushAcknowledgesNothing(flush: Int) {
        let result = CrashSearch.run(
            seed: UInt64(flush), isAnchored: flush % 2 == 0, steps: isDebugBuild ? 20 : 60,
            policy: .quick, failsFlush: flush)
        for violation in result.violations.prefix(5) { Issue.record("\(violation)") }
        #expect(result.images > 10)
    }

    /// What the host cannot read may hold the newest commits (I6): opening says so, and does not go on without them.
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func aReadErrorIsNoEndOfTheLog(seed: UInt64) {
        let result = CrashSearch.withReadErrors(seed: seed)
        for violation in result.violations.prefix(5) { Issue.record("\(violation)") }
        #expect(result.images > 20)
    }

    /// What a process wrote that died, and nobody flushed, is durable before the next one relies on it (I11).
    @Test(arguments: 0..<6 as Range<UInt64>)
    func whatADeadProcessLeftIsFlushedFirst(seed: UInt64) {
        let result = CrashSearch.afterDeath(seed: seed, limit: isDebugBuild ? 100 : 5000)
        for violation in result.violations.prefix(5) { Issue.record("\(violation)") }
        #expect(result.images > 20)
    }

    /// Either root slot is enough, at every moment.
    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func oneRootIsEnough(seed: UInt64) {
        let result = CrashSearch.withOneRoot(seed: seed, steps: isDebugBuild ? 10 : 60)
        for violation in result.violations.prefix(5) { Issue.record("\(violation)") }
        #expect(result.images > (isDebugBuild ? 20 : 60))
    }
}
