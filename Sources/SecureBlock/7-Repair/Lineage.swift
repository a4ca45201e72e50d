/// Which records count: the epochs that follow one another to the newest state, each up to where the next took over.
///
/// An epoch begins where recovery cut the one before: its first record has the next sequence and names the tag of the
/// record that was last. A record of the older epoch with that sequence or a higher one was cut and never counts. So
///
/// 1. an epoch's start is its first record, when the record that this names is found in another epoch; else what its
///    root says it recovered from; else, inexactly, the lowest sequence found;
/// 2. what an epoch stands on is what its own epoch table lists; where that is lost, the epoch whose record its first
///    names; else the newest epoch that began before it and has no commit beyond its start, which is a guess and said
///    to be one;
/// 3. of several epochs that nothing stands on, the newest is the one whose line passes the anchor's commit; else the
///    one a root slot belongs to; else the one written last by its own clock. The others are branches: an opening that
///    a crash ended, or a copy of the volume that went its own way. They are named and never mixed in.
struct Lineage {
    struct Member {
        var epoch: Tag
        /// The first sequence that counts, and the last.
        var start: SequenceNumber
        var bound: SequenceNumber
        /// Where the epoch began is known, not guessed.
        var isExact: Bool
    }

    /// Oldest first; the last one is the newest epoch.
    private(set) var members: [Member]
    private var byEpoch: [Tag: Member] = [:]
    /// Some link between two epochs is a guess.
    private(set) var isInferred: Bool
    /// Heads of branches that do not count.
    let branches: [Tag]

    /// Where records that epochs or the anchor name were found: tag to epoch and sequence.
    typealias Found = [Tag: (epoch: Tag, sequence: SequenceNumber)]

    struct Evidence {
        var epochs: [Tag: EpochFacts]
        /// Identifiers in each epoch's own table, where all its pages were read.
        var tables: [Tag: Set<Tag>]
        /// What each epoch's roots say it began on.
        var recoveredFrom: [Tag: Root.Commit]
        var found: Found
        var anchor: Root.Commit?
        /// The epoch of the newest root slot that verifies.
        var slotEpoch: Tag?
    }

    /// - Returns: `nil` when there are no records.
    init?(_ evidence: Evidence) {
        let links = Links(evidence)
        var heads = evidence.epochs.keys.filter { epoch in !links.isSuperseded(epoch) }
        // Links that go round are no honest writer's; somebody still has to be the newest.
        if heads.isEmpty { heads = Array(evidence.epochs.keys) }
        let lines = heads.map { links.line(from: $0) }
        let anchorPlace = evidence.anchor.flatMap { anchor in
            evidence.found[anchor.tag].flatMap { $0.sequence == anchor.sequence ? $0 : nil }
        }
        func rank(_ line: Links.Line) -> (Int, Int, UInt64, UInt64, UInt64, UInt64) {
            // A line ends with an epoch that was found.
            guard let facts = evidence.epochs[line.members[line.members.count - 1].epoch] else {
                return (0, 0, 0, 0, 0, 0)
            }
            let hasAnchor = anchorPlace.map { place in
                line.members.contains { $0.epoch == place.epoch && place.sequence <= $0.bound }
            }
            let hasSlot = evidence.slotEpoch.map { slot in line.members.contains { $0.epoch == slot } }
            return (
                hasAnchor == true ? 1 : 0, hasSlot == true ? 1 : 0, facts.lastMilliseconds, facts.last.rawValue,
                facts.identifier.high, facts.identifier.low
            )
        }
        guard let best = lines.max(by: { rank($0) < rank($1) }) else { return nil }
        members = best.members
        isInferred = best.isInferred
        for member in best.members { byEpoch[member.epoch] = member }
        branches = heads.filter { head in !best.members.contains { $0.epoch == head } }
            .sorted { ($0.high, $0.low) < ($1.high, $1.low) }
    }

    func member(_ epoch: Tag) -> Member? { byEpoch[epoch] }

    /// Whether a record belongs to the line at all; where the state ends is another matter.
    func counts(_ epoch: Tag, _ sequence: SequenceNumber) -> Bool {
        guard let member = byEpoch[epoch] else { return false }
        return sequence <= member.bound
    }
}

/// How epochs follow one another, from all evidence.
private struct Links {
    struct Line {
        var members: [Lineage.Member]
        var isInferred: Bool
    }

    let evidence: Lineage.Evidence
    private var starts: [Tag: (sequence: SequenceNumber, isExact: Bool)] = [:]
    private var parents: [Tag: Tag] = [:]
    private var superseded: Set<Tag> = []

    init(_ evidence: Lineage.Evidence) {
        self.evidence = evidence
        for (epoch, facts) in evidence.epochs {
            if let place = evidence.found[facts.previousTag], place.epoch != epoch,
                place.sequence.rawValue + 1 == facts.first.rawValue
            {
                starts[epoch] = (facts.first, true)
                parents[epoch] = place.epoch
            } else if facts.first.rawValue == 1, facts.previousTag == .zero {
                starts[epoch] = (facts.first, true)
            } else if let origin = evidence.recoveredFrom[epoch] {
                starts[epoch] = (SequenceNumber(origin.sequence.rawValue + 1), true)
                if let place = evidence.found[origin.tag], place.epoch != epoch { parents[epoch] = place.epoch }
            } else {
                starts[epoch] = (facts.first, false)
            }
        }
        for (epoch, table) in evidence.tables {
            superseded.formUnion(table.filter { $0 != epoch && evidence.epochs[$0] != nil })
        }
        for (epoch, parent) in parents where parent != epoch { superseded.insert(parent) }
        // An epoch that nothing ties to another continues the newest one before it, if anything.
        for epoch in evidence.epochs.keys where isLoose(epoch) {
            if let parent = guess(before: epoch) { superseded.insert(parent) }
        }
    }

    func isSuperseded(_ epoch: Tag) -> Bool { superseded.contains(epoch) }

    /// Neither its table nor its first record says what it stands on, and it is not the volume's first.
    private func isLoose(_ epoch: Tag) -> Bool {
        guard let start = starts[epoch] else { return false }
        return parents[epoch] == nil && evidence.tables[epoch] == nil && start.sequence.rawValue > 1
    }

    private func guess(before epoch: Tag) -> Tag? {
        guard let facts = evidence.epochs[epoch], let start = starts[epoch] else { return nil }
        return evidence.epochs.values.filter {
            $0.identifier != epoch && (starts[$0.identifier]?.sequence ?? $0.first) < start.sequence
                && $0.firstMilliseconds <= facts.firstMilliseconds && $0.lastCommit < start.sequence
        }.max {
            ($0.lastMilliseconds, $0.last, $0.identifier.high, $0.identifier.low)
                < ($1.lastMilliseconds, $1.last, $1.identifier.high, $1.identifier.low)
        }?.identifier
    }

    /// The epochs that `head` stands on, with their bounds.
    func line(from head: Tag) -> Line {
        var epochs: Set<Tag> = [head]
        var isInferred = false
        var current = head
        while true {
            if let table = evidence.tables[current] {
                epochs.formUnion(table.filter { evidence.epochs[$0] != nil })
                break
            }
            if let parent = parents[current] {
                guard epochs.insert(parent).inserted else { break }
                current = parent
            } else if isLoose(current), let parent = guess(before: current) {
                isInferred = true
                guard epochs.insert(parent).inserted else { break }
                current = parent
            } else {
                break
            }
        }
        var members: [Lineage.Member] = []
        for epoch in epochs where epoch != head {
            guard let start = starts[epoch] else { continue }
            members.append(
                .init(
                    epoch: epoch, start: start.sequence, bound: SequenceNumber(UInt64.max), isExact: start.isExact))
        }
        members.sort { ($0.start, $0.epoch.high, $0.epoch.low) < ($1.start, $1.epoch.high, $1.epoch.low) }
        if let start = starts[head] {
            members.append(
                .init(epoch: head, start: start.sequence, bound: Layout.maximumSequence, isExact: start.isExact))
        }
        for index in members.indices.reversed().dropFirst() {
            let next = members[index + 1]
            members[index].bound = min(SequenceNumber(max(next.start.rawValue, 1) - 1), next.bound)
        }
        return Line(members: members, isInferred: isInferred)
    }
}
