import Testing

@testable import SecureBlock

/// Earlier commits: what is listed can be opened, and what a policy asks for stays.
@Suite struct DeviceHistoryTests {
    /// Over random work that fills the device again and again, with cleaning, clean ends and cuts.
    @Test(arguments: [1, 2, 3, 4] as [UInt64], [300, 3000])
    func everyListedCommitOpens(seed: UInt64, sparePerMille: Int) throws {
        try expectListedCommitsOpen(SnapshotWorkload(seed: seed, sparePerMille: sparePerMille), more: 100)
    }

    /// … also where free space is given back to the host: with no policy that ends history, with one it does not.
    @Test(arguments: [(1, nil), (2, nil), (3, 2 << 20), (4, 2 << 20)] as [(UInt64, UInt64?)])
    func everyListedCommitOpensWithSpaceReturned(seed: UInt64, bytes: UInt64?) throws {
        let work = try SnapshotWorkload(
            seed: seed, history: bytes.map { HistoryPolicy(bytes: $0) } ?? .none, returnsFreeSpace: true)
        try expectListedCommitsOpen(work, more: bytes == nil ? 20 : 100)
    }

    private func expectListedCommitsOpen(_ work: SnapshotWorkload, more least: Int) throws {
        var opened = 0
        for round in 0..<24 {
            try work.churn(work.random(20..<120))
            try work.commit()
            if work.random(0..<3) == 0 { try work.reopen(isCut: work.random(0..<2) == 0) }
            guard round % 4 == 3 else { continue }
            opened += try check(work.host, work)
        }
        #expect(opened > least)
        try work.device.close()
        _ = try check(work.host, work)
    }

    /// Opens every commit that is listed.
    private func check(_ host: MemoryBlockHost, _ work: SnapshotWorkload) throws -> Int {
        let copy = MemoryBlockHost(contents: host.contents)
        let commits = try SecureDevice.history(copy, credential: DeviceTesting.keyFile())
        #expect(commits.first.map { $0.sequence >= work.states.last?.commit ?? SequenceNumber(0) } == true)
        for commit in commits {
            let device = try DeviceTesting.open(
                MemoryBlockHost(contents: host.contents), mode: .readOnlyAt(commit.sequence))
            let holds =
                try DeviceTesting.contents(device) == DeviceTesting.contents(of: work.state(commit.sequence))
            #expect(holds, "\(commit.sequence)")
        }
        return commits.count
    }

    /// A strict policy has writes fail before it lets a commit go; commits go on, and dropping it frees all.
    @Test func strictPolicyKeepsWhatItAsksFor() throws {
        let policy = HistoryPolicy(bytes: 1 << 40, isStrict: true)
        let work = try SnapshotWorkload(seed: 5, sparePerMille: 1000, history: policy)
        var refused: DeviceError?
        for step in 0..<20_000 where refused == nil {
            do {
                try work.write(step * 7 % work.model.count)
                if step % 20 == 0 { try work.commit() }
            } catch let error as DeviceError { refused = error }
        }
        #expect(refused == .noSpace)
        let listed = try work.device.history()
        // Commits may always take a segment: those that the refused writes were tried again after took one or two.
        #expect((listed.last?.sequence).map { $0 < SequenceNumber(40) } == true, "nearly all of it")
        try work.reopen(isCut: true)
        #expect(work.device.historyPolicy == policy)
        #expect(throws: DeviceError.noSpace) { for index in 0..<1000 { try work.write(index % work.model.count) } }
        _ = try check(work.host, work)
        try work.commit()
        try work.device.setHistoryPolicy(.none)
        for step in 0..<2000 { try work.write(step * 7 % work.model.count) }
        try work.commit()
        _ = try check(work.host, work)
        try work.device.close()
    }

    /// A policy that is not strict gives way, the oldest commit first, and writes go on.
    @Test func lenientPolicyGivesWay() throws {
        let work = try SnapshotWorkload(seed: 6, history: HistoryPolicy(seconds: 1 << 40))
        for step in 0..<6000 {
            try work.write(step * 7 % work.model.count)
            if step % 20 == 0 { try work.commit() }
        }
        try work.commit()
        #expect(try check(work.host, work) > 10)
        try work.device.close()
    }

    /// The point that a policy names moves with the log and the clock, from root to root.
    @Test func policyMovesFromRootToRoot() {
        func mark(_ commit: UInt64, _ time: UInt64, _ blocks: UInt64) -> Retention.Mark {
            Retention.Mark(commit: SequenceNumber(commit), timeMilliseconds: time, logBlocks: blocks)
        }
        let marks = [mark(1, 1000, 10), mark(5, 5000, 50), mark(9, 9000, 90)]
        var retention = Retention()
        #expect(retention.kept(now: 0, logBlocks: 0) == nil)
        retention.adopt(HistoryPolicy(seconds: 4), marks)
        #expect(retention.kept(now: 4999, logBlocks: 0) == SequenceNumber(0), "nothing is that old yet")
        #expect(retention.kept(now: 5000, logBlocks: 0) == SequenceNumber(1))
        #expect(retention.kept(now: 9999, logBlocks: 0) == SequenceNumber(5))
        #expect(retention.kept(now: 20_000, logBlocks: 0) == SequenceNumber(9))
        #expect(retention.marks.count == 1)
        retention.adopt(HistoryPolicy(bytes: 40 * 4096), marks)
        #expect(retention.kept(now: 0, logBlocks: 89) == SequenceNumber(1))
        #expect(retention.kept(now: 0, logBlocks: 90) == SequenceNumber(5))
        // Either keeps it.
        retention.adopt(HistoryPolicy(seconds: 100, bytes: 40 * 4096), marks)
        #expect(retention.kept(now: 20_000, logBlocks: 200) == SequenceNumber(0))
    }
}
