/// What one line of a volume's history promised: the contents of every ordered commit, and the last acknowledged.
struct SwarmBranch: Sendable {
    typealias Contents = [UInt64]

    var commits: [UInt64: Contents] = [:]
    var acknowledged: UInt64 = 0
    /// Contents that a commit may have whose number nobody was told: an opening, closing or key change was cut off.
    var untold: [Contents] = []

    var lastOrdered: UInt64 { commits.keys.max() ?? 0 }

    /// Notes an ordered commit.
    mutating func order(_ sequence: UInt64, _ contents: Contents) { commits[sequence] = contents }

    mutating func acknowledge(_ sequence: UInt64) { acknowledged = max(acknowledged, sequence) }

    /// An opening or the like ended before it said which commit it made; it made none of new contents.
    mutating func cutOff(_ present: Contents?) {
        for (sequence, contents) in commits.sorted(by: { $0.key < $1.key }) where sequence >= acknowledged {
            if !untold.contains(contents) { untold.append(contents) }
        }
        if let present, !untold.contains(present) { untold.append(present) }
    }

    /// What a volume that opened at `sequence` may hold, if it may open there at all.
    func allowed(at sequence: UInt64) -> [Contents] {
        guard sequence >= acknowledged else { return [] }
        if let contents = commits[sequence] { return [contents] + untold }
        return untold
    }

    /// What the commit of this number may hold, by a list or a look at the past; nil if it was never told.
    ///
    /// An opening that was cut off may have given a number again that was ordered and then lost, for untold contents.
    func past(at sequence: UInt64) -> [Contents]? {
        guard let contents = commits[sequence] else { return nil }
        return sequence <= acknowledged ? [contents] : [contents] + untold
    }

    /// A branch that goes on from a commit.
    func continued(_ contents: Contents, openedAt sequence: UInt64, committedAs next: UInt64) -> SwarmBranch {
        var branch = SwarmBranch()
        // What was not acknowledged may be another's by now, if any opening was cut off.
        branch.commits = commits.filter { $0.key < sequence && ($0.key <= acknowledged || untold.isEmpty) }
        branch.commits[sequence] = contents
        branch.commits[next] = contents
        branch.acknowledged = next
        return branch
    }
}
