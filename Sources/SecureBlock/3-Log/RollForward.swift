/// What a root and the chain after it come to: which records count.
struct RollForward {
    /// The state's last commit (I6).
    var end: Root.Commit
    /// Records after the root, up to and including ``end``.
    var records: [RecordHeader]
    /// Records found after ``end``; nothing of them counts.
    var cut: [RecordHeader]
    /// Where the newest root's own copy in the log was found, if it was.
    var rootCopy: Root.Previous?

    /// Follows the chain from `root`, first finds the cut, and checks it against the anchor (I6, I12).
    ///
    /// What only roots hold, as the size and the list of snapshots, is as old as the root. So that the host cannot put older
    /// roots back and leave the log, each record says which root number both slots had reached; see ``RecordHeader/rootFloor``.
    ///
    /// - Parameters:
    ///   - anchor: what the anchor holds, when there is one to ask.
    ///   - target: end at exactly this commit instead of the last; for a look at an earlier state.
    init(_ context: VolumeContext, from root: Root, anchor: AnchorValue?, target: SequenceNumber? = nil)
        throws(VolumeError)
    {
        let reader = try ChainReader(context, from: root)
        var chain: [RecordHeader] = []
        var durable = root.commit.sequence
        var acceptable: Set<Root.Commit> = [root.commit]
        if let anchored = root.anchored { acceptable.insert(anchored) }
        var copy: Root.Previous?
        var rootFloor: UInt64 = 0
        // Not beyond the target, which may be the root's own commit: the next one would be the end.
        while (chain.last?.sequence ?? root.commit.sequence) < target ?? Layout.maximumSequence,
            let header = try reader.next()
        {
            if header.durable > durable { durable = header.durable }
            rootFloor = max(rootFloor, header.rootFloor)
            if header.isCommit { acceptable.insert(Root.Commit(sequence: header.sequence, tag: header.tag)) }
            for (slot, entry) in header.entries.enumerated()
            where entry.kind == .root && entry.address == root.commit.sequence.rawValue {
                copy = Root.Previous(
                    pointer: PagePointer(
                        block: context.geometry.physical(
                            LogPosition(
                                segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))),
                        generation: header.generation, epochIndex: root.epochIndex, tag: entry.tag),
                    commit: root.commit.sequence)
            }
            chain.append(header)
        }
        rootCopy = copy
        guard target != nil || root.number >= rootFloor || Sabotage.isOn(.ignoreRootFloor) else {
            throw .rootsRolledBack(found: root.number, known: rootFloor)
        }
        if let anchor, target == nil {
            let found = Root.Commit(sequence: anchor.sequence, tag: anchor.tag)
            guard acceptable.contains(found) || Sabotage.isOn(.ignoreAnchor) else {
                let last = chain.last(where: \.isCommit)?.sequence ?? root.commit.sequence
                throw anchor.sequence > last
                    ? .rollback(anchor: anchor.sequence, volume: last)
                    : .fork(anchor: anchor.sequence, volume: last)
            }
            if anchor.sequence > durable { durable = anchor.sequence }
        }

        var end = root.commit
        var kept = 0
        // A fresh reader: verifying reads data, and the windows of the first pass have moved on.
        let verifier = try ChainReader(context, from: root)
        for (index, header) in chain.enumerated() {
            if header.sequence > durable, !Sabotage.isOn(.trustTail), try !verifier.verifyData(of: header) { break }
            if Sabotage.isOn(.cutLastCommit), index == chain.count - 1 { break }
            if header.isCommit || Sabotage.isOn(.keepUncommitted) {
                end = Root.Commit(sequence: header.sequence, tag: header.tag)
                kept = index + 1
            }
        }
        if let target, end.sequence != target { throw .noSuchCommit(target) }
        if let anchor, target == nil, end.sequence < anchor.sequence, !Sabotage.isOn(.ignoreAnchor) {
            throw .rollback(anchor: anchor.sequence, volume: end.sequence)
        }
        self.end = end
        records = Array(chain[..<kept])
        cut = Array(chain[kept...])
    }
}
