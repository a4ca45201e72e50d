import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

@Suite struct RandomOperationTests {
    /// Random operations against a model, with a crash at every commit: what opens is the model at that commit, and
    /// `check` has nothing to say.
    @Test(arguments: [(1, 4096), (2, 8192), (3, 16384), (4, 4096), (5, 16384)])
    func everyCommitIsTheModel(seed: UInt64, nodeBytes: Int) throws {
        var device = try freshDevice(blocks: 16384, nodeBytes: nodeBytes)
        var options = EncFS.MountOptions.quiet
        options.nodeCacheBytes = 1 << 20
        var files = try EncFS(mounting: device, options)
        var random = RandomOperations(seed: seed)
        for step in 0..<1600 {
            if let wrong = try random.step(files) {
                Issue.record("seed \(seed), step \(step): \(wrong)")
                return
            }
            guard step % 40 == 39 else { continue }
            if step % 80 == 39 { try files.sync() } else { _ = try files.commit(nil, dataOnly: step % 3 == 0) }
            let latest = try #require(device.commits.last)
            let crashed = try #require(device.crash(at: latest))
            #expect(try findings(crashed) == [], "seed \(seed), step \(step)")
            let reopened = try EncFS(mounting: crashed, options)
            if let wrong = try difference(reopened, random.model) {
                Issue.record("seed \(seed), step \(step), after the crash: \(wrong)")
                return
            }
            if step % 400 == 399 {
                // Go on with what survived.
                device = crashed
                files = reopened
            }
        }
        #expect(try difference(files, random.model) == nil, "seed \(seed)")
        try files.close()
        #expect(try findings(device) == [], "seed \(seed)")
    }

    /// Commits at every device write: whatever the device's last ordered commit is, it opens and is sound.
    @Test(arguments: [21, 22])
    func everyOrderedCommitIsSound(seed: UInt64) throws {
        var options = SimBlockDevice.Options()
        options.commitWantedAt = 40
        options.commitRequiredAt = 4000
        let device = try freshDevice(blocks: 16384, nodeBytes: 4096, options)
        var mount = EncFS.MountOptions.quiet
        mount.commitIntervalMilliseconds = 1
        let files = try EncFS(mounting: device, mount)
        var random = RandomOperations(seed: seed)
        for step in 0..<600 {
            if let wrong = try random.step(files) {
                Issue.record("seed \(seed), step \(step): \(wrong)")
                return
            }
        }
        try files.close()
        let commits = device.commits
        #expect(commits.count > 4)
        for commit in commits.dropFirst().suffix(60) {
            let crashed = try #require(device.crash(at: commit))
            let found = try findings(crashed).filter { !$0.hasPrefix("note") }
            #expect(found == [], "seed \(seed), \(commit)")
            try EncFS(mounting: crashed, .quiet).close()
            #expect(try findings(crashed) == [], "seed \(seed), \(commit)")
        }
    }
}
