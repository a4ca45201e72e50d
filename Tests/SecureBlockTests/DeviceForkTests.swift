import Testing

@testable import SecureBlock

/// Two copies of a volume that went on by themselves, and commits that there are none of.
@Suite struct DeviceForkTests {
    /// Goes on from an image with `count` commits.
    private func goOn(_ image: SparseBytes, _ anchor: MemoryAnchor, commits count: UInt64) throws -> SparseBytes {
        let host = MemoryBlockHost(contents: image)
        let device = try DeviceTesting.open(host, anchor: anchor)
        for step in 0..<count {
            try DeviceTesting.write(device, step % 60, step + 100)
            try device.commit().wait()
        }
        return host.contents
    }

    /// The anchor follows one of them; the other is refused, whether it is as far, further, or not as far.
    @Test(arguments: [1, 3, 9] as [UInt64]) func theOtherCopyIsRefused(commits: UInt64) throws {
        let host = MemoryBlockHost(), anchor = MemoryAnchor()
        try DeviceTesting.create(host, blocks: 60, anchor: anchor)
        try DeviceTesting.open(host, anchor: anchor).close()
        let origin = host.contents, start = try anchor.load()
        let kept = try goOn(origin, anchor, commits: 3)
        let other = try goOn(origin, MemoryAnchor(start), commits: commits)
        let value = try #require(try anchor.load())
        for mode in [OpenMode.readOnly, .readWrite] {
            do {
                _ = try DeviceTesting.open(
                    MemoryBlockHost(contents: other), anchor: MemoryAnchor(value), mode: mode)
                Issue.record("it opens")
            } catch {
                switch error as? VolumeError {
                case .fork(let found, let volume)?: #expect(found == value.sequence && volume >= found)
                case .rollback(let found, let volume)?: #expect(found == value.sequence && volume < found)
                default: Issue.record("\(error)")
                }
            }
        }
        let device = try DeviceTesting.open(MemoryBlockHost(contents: kept), anchor: MemoryAnchor(value))
        #expect(try DeviceTesting.holds(device, 2, 102))
    }

    /// Only commits can be looked at, not the records between them.
    @Test func recordsAreNoCommits() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60)
        let device = try DeviceTesting.open(host)
        var commits: [SequenceNumber] = []
        for step in 0..<UInt64(3) {
            for block in 0..<UInt64(40) { try DeviceTesting.write(device, block, step * 100 + block + 1) }
            let ticket = try device.commit()
            try ticket.wait()
            commits.append(ticket.sequence)
        }
        for (step, commit) in commits.enumerated() {
            let earlier = try DeviceTesting.open(
                MemoryBlockHost(contents: host.contents), mode: .readOnlyAt(commit))
            #expect(try DeviceTesting.holds(earlier, 7, UInt64(step) * 100 + 8))
            let between = SequenceNumber(commit.rawValue - 1)
            guard !commits.contains(between) else { continue }
            #expect(throws: VolumeError.noSuchCommit(between)) {
                try DeviceTesting.open(MemoryBlockHost(contents: host.contents), mode: .readOnlyAt(between))
            }
        }
    }
}
