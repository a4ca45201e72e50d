/// What the records of one epoch say together.
struct EpochFacts {
    /// A root's copy in the log, as its record names it.
    struct RootCopy {
        /// The record that carries it, and the commit it describes.
        var record: SequenceNumber
        var commit: SequenceNumber
        var block: PhysicalBlock
        var generation: Generation
        var tag: Tag
    }

    let identifier: Tag
    var records: UInt64 = 0
    /// The lowest sequence seen, and the tag of the record before it.
    var first = SequenceNumber(UInt64.max)
    var previousTag = Tag.zero
    var last = SequenceNumber(0)
    var lastCommit = SequenceNumber(0)
    var firstMilliseconds = UInt64.max
    var lastMilliseconds: UInt64 = 0
    /// In the order they were found until ``EpochSurvey/finish()``, then by record.
    var rootCopies: [RootCopy] = []
    /// The newest copy of each page of the epoch table.
    var epochPages: [UInt64: RootCopy] = [:]

    init(_ identifier: Tag) { self.identifier = identifier }

    /// The commit that a map or table page describes which stands in `record`: the checkpoint's root follows its pages.
    func commit(ofPageIn record: SequenceNumber) -> SequenceNumber? {
        var low = 0, high = rootCopies.count
        while low < high {
            let middle = (low + high) / 2
            if rootCopies[middle].record < record { low = middle + 1 } else { high = middle }
        }
        guard low < rootCopies.count, rootCopies[low].commit < record else { return nil }
        return rootCopies[low].commit
    }
}

/// Gathers ``EpochFacts`` while all records pass by, in any order.
///
/// **Memory**: a few hundred bytes for each epoch, 48 for each root's copy in the log.
struct EpochSurvey {
    private(set) var epochs: [Tag: EpochFacts] = [:]
    private(set) var records: UInt64 = 0

    mutating func add(_ header: RecordHeader, _ geometry: Geometry) {
        records += 1
        var facts = epochs[header.epoch] ?? EpochFacts(header.epoch)
        // Taken out while it changes, so that its lists are not copied.
        epochs[header.epoch] = nil
        facts.records += 1
        if header.sequence < facts.first {
            facts.first = header.sequence
            facts.previousTag = header.previousTag
        }
        facts.last = max(facts.last, header.sequence)
        if header.isCommit { facts.lastCommit = max(facts.lastCommit, header.sequence) }
        facts.firstMilliseconds = min(facts.firstMilliseconds, header.timeMilliseconds)
        facts.lastMilliseconds = max(facts.lastMilliseconds, header.timeMilliseconds)
        for (slot, entry) in header.entries.enumerated() where entry.kind == .root || entry.kind == .epochPage {
            let place = LogPosition(
                segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))
            let copy = EpochFacts.RootCopy(
                record: header.sequence, commit: SequenceNumber(entry.address), block: geometry.physical(place),
                generation: header.generation, tag: entry.tag)
            if entry.kind == .root {
                facts.rootCopies.append(copy)
            } else if facts.epochPages[entry.address].map({ $0.record < copy.record }) ?? true,
                entry.address < UInt64(Epoch.maximumPages)
            {
                facts.epochPages[entry.address] = copy
            }
        }
        epochs[header.epoch] = facts
    }

    mutating func finish() {
        for epoch in Array(epochs.keys) { epochs[epoch]?.rootCopies.sort { $0.record < $1.record } }
    }
}
