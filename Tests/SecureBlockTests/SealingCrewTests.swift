import Testing

@testable import SecureBlock

@Suite struct SealingCrewTests {
    /// Which blocks were worked on, how often.
    private final class Marks: @unchecked Sendable {
        // SAFETY: each element is touched by whoever has its piece; read after all are done.
        let counts: UnsafeMutablePointer<Int>
        let count: Int
        init(_ count: Int) {
            self.count = count
            counts = .allocate(capacity: max(count, 1))
            counts.initialize(repeating: 0, count: max(count, 1))
        }
        deinit { counts.deallocate() }
        func add(_ part: Range<Int>) { for index in part { counts[index] += 1 } }
        var areAllOnce: Bool { (0..<count).allSatisfy { counts[$0] == 1 } }
    }

    @Test(arguments: [0, 1, 3])
    func everyBlockIsWorkedOnOnce(_ helpers: Int) {
        let crew = SealingCrew(helperCount: helpers)
        for count in [0, 1, 7, 47, 48, 49, 127, 165, 1000] {
            for _ in 0..<50 {
                let marks = Marks(count)
                crew.share(count) { marks.add($0) }
                #expect(marks.areAllOnce, "\(count) blocks, \(helpers) helpers")
            }
        }
    }

    @Test func callersDoNotGetInEachOthersWay() {
        let crew = SealingCrew(helperCount: 2)
        let failures = Monitor(0)
        let threads = (0..<4).compactMap { _ in
            HostThread {
                for round in 0..<500 {
                    let marks = Marks(48 + round % 120)
                    crew.share(marks.count) { marks.add($0) }
                    if !marks.areAllOnce { failures.withLock { $0 += 1 } }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(threads.count == 4)
        #expect(failures.withLock { $0 } == 0)
    }
}
