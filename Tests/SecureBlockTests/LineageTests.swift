import Testing

@testable import SecureBlock

/// How epochs are put in line from evidence of any kind: what is consistent is followed, what is not still gives one line.
@Suite struct LineageTests {
    private func tag(_ number: UInt64) -> Tag { Tag(low: number, high: number) }

    private func facts(_ number: UInt64, _ records: ClosedRange<UInt64>, after previous: UInt64? = nil)
        -> EpochFacts
    {
        var facts = EpochFacts(tag(number))
        facts.records = UInt64(records.count)
        facts.first = SequenceNumber(records.lowerBound)
        facts.last = SequenceNumber(records.upperBound)
        facts.lastCommit = facts.last
        facts.previousTag = previous.map { tag(1000 + $0) } ?? .zero
        facts.firstMilliseconds = records.lowerBound
        facts.lastMilliseconds = records.upperBound
        return facts
    }

    private func evidence(_ epochs: [EpochFacts], found: [UInt64: UInt64] = [:]) -> Lineage.Evidence {
        var evidence = Lineage.Evidence(epochs: [:], tables: [:], recoveredFrom: [:], found: [:])
        for facts in epochs { evidence.epochs[facts.identifier] = facts }
        for (sequence, epoch) in found {
            evidence.found[tag(1000 + sequence)] = (tag(epoch), SequenceNumber(sequence))
        }
        return evidence
    }

    @Test func nothingIsNoLine() { #expect(Lineage(evidence([])) == nil) }

    /// Each names the record before its first: exact, and each counts up to where the next took over.
    @Test func recordsThatNameOneAnother() throws {
        let all = [facts(1, 1...9), facts(2, 6...12, after: 5), facts(3, 11...20, after: 10)]
        let line = try #require(Lineage(evidence(all, found: [5: 1, 10: 2])))
        #expect(line.members.map(\.epoch) == [tag(1), tag(2), tag(3)] && !line.isInferred && line.branches.isEmpty)
        #expect(line.members.map(\.bound.rawValue).dropLast() == [5, 10])
        #expect(line.counts(tag(1), SequenceNumber(5)) && !line.counts(tag(1), SequenceNumber(6)))
        #expect(!line.counts(tag(9), SequenceNumber(1)))
    }

    /// Two openings of one commit: with an anchor the one it names, else the one a root slot belongs to, else the later.
    @Test func ofTwoBranchesOneCounts() throws {
        let all = [facts(1, 1...9), facts(2, 6...12, after: 5), facts(3, 6...8, after: 5)]
        var evidence = evidence(all, found: [5: 1, 7: 3])
        #expect(try #require(Lineage(evidence)).branches == [tag(3)])
        evidence.slotEpoch = tag(3)
        #expect(try #require(Lineage(evidence)).branches == [tag(2)])
        evidence.slotEpoch = tag(2)
        evidence.anchor = Root.Commit(sequence: SequenceNumber(7), tag: tag(1007))
        #expect(try #require(Lineage(evidence)).branches == [tag(2)])
        // A tag of that number that was found under another is no place.
        evidence.anchor = Root.Commit(sequence: SequenceNumber(8), tag: tag(1007))
        #expect(try #require(Lineage(evidence)).branches == [tag(3)])
        let three = all + [facts(4, 6...7, after: 5)]
        #expect(try #require(Lineage(self.evidence(three, found: [5: 1]))).branches == [tag(3), tag(4)])
    }

    /// Epochs that all say they stand on one another, which no honest writer leaves: still one line, and it ends.
    @Test func linksThatGoRound() throws {
        let all = [facts(1, 6...9, after: 12), facts(2, 10...12, after: 9)]
        var evidence = evidence(all, found: [9: 1])
        evidence.found[tag(1012)] = (tag(2), SequenceNumber(5))
        evidence.recoveredFrom[tag(1)] = Root.Commit(sequence: SequenceNumber(5), tag: tag(1012))
        let line = try #require(Lineage(evidence))
        #expect(Set(line.members.map(\.epoch)) == [tag(1), tag(2)])
        var tables = self.evidence([facts(1, 1...5), facts(2, 6...9)])
        tables.tables = [tag(1): [tag(1), tag(2)], tag(2): [tag(2), tag(1)]]
        #expect(try #require(Lineage(tables)).members.count == 2)
    }

    /// An epoch that nothing ties to another continues the newest before it, and that is said to be a guess.
    @Test func whatNothingTiesIsGuessed() throws {
        let all = [facts(1, 1...5), facts(2, 8...12, after: 7)]
        let line = try #require(Lineage(evidence(all)))
        #expect(line.isInferred && line.members.map(\.epoch) == [tag(1), tag(2)])
        #expect(line.members.map(\.isExact) == [true, false])
    }
}
