import SimHost
import Testing

@testable import SecureBlock

@Suite struct SequenceSetTests {
    @Test func gapsAreTheNumbersNeverSeen() {
        for seed in 1...20 as ClosedRange<UInt64> {
            var generator = SimRandom(seed: seed)
            var set = SequenceSet()
            var model: Set<UInt64> = []
            for _ in 0..<400 {
                // Dense in places, and far apart: several pages, some never touched.
                let number =
                    UInt64.random(in: 0..<5, using: &generator) * 9000 + .random(in: 1..<120, using: &generator)
                #expect(set.insert(SequenceNumber(number)) == model.insert(number).inserted)
            }
            let last = UInt64.random(in: 1..<40_000, using: &generator)
            let first = UInt64.random(in: 1...last, using: &generator)
            let (runs, count) = set.gaps(from: SequenceNumber(first), through: SequenceNumber(last), limit: .max)
            let expected = (first...last).filter { !model.contains($0) }
            #expect(runs.flatMap { Array($0) } == expected && count == UInt64(expected.count))
            let missing = (1...last).last { !model.contains($0) } ?? 0
            #expect(set.lastMissing(through: SequenceNumber(last)).rawValue == missing)
        }
    }

    /// At its limit the set forgets the oldest numbers, and says so; hugely distant ends cost nothing.
    @Test func theOldestAreForgotten() {
        var set = SequenceSet(pageLimit: 4)
        for page in 0..<100 as Range<UInt64> { set.insert(SequenceNumber(page * 4096 + 5)) }
        #expect(set.floor > 90 * 4096 && set.contains(SequenceNumber(99 * 4096 + 5)))
        #expect(set.lastMissing(through: SequenceNumber(99 * 4096 + 5)).rawValue == 99 * 4096 + 4)
        let (runs, count) = set.gaps(from: SequenceNumber(1), through: SequenceNumber(1 << 61), limit: 3)
        #expect(runs.count == 3 && count > 1 << 60)
    }

    /// Of what was forgotten nothing is known: it may be new.
    @Test func whatWasForgottenMayBeNew() {
        var set = SequenceSet(pageLimit: 2)
        let firsts = (0..<5 as Range<UInt64>).map { set.insert(SequenceNumber($0 * 4096 + 1)) }
        #expect(firsts.allSatisfy { $0 } && set.floor > 4096)
        let again = [1, 1, 4 * 4096 + 1].map { set.insert(SequenceNumber($0)) }
        #expect(again == [true, true, false])
    }
}
