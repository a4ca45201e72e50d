/// Which crash images are made for one moment, besides the two with none and with all of the unflushed writes.
public struct CrashPolicy: Sendable, Hashable {
    /// Every prefix of the unflushed writes.
    public var prefixes: Bool
    /// All but one, for each one.
    public var omissions: Bool
    /// Only one, for each one.
    public var survivors: Bool
    /// The last write cut between sectors, its head or its tail surviving.
    public var tears: Bool
    /// With at most so many unflushed writes: every subset of them, and each with its last write whole, its head only
    /// and its tail only. Random choices are then left out, as there is little they could add.
    public var allSubsetsUpTo: Int
    /// So many random choices, each write lost, whole or torn.
    public var randomSubsets: Int
    /// What the random choices depend on, together with the moment.
    public var seed: UInt64

    public init(
        prefixes: Bool = true, omissions: Bool = true, survivors: Bool = true, tears: Bool = true,
        allSubsetsUpTo: Int = 0, randomSubsets: Int = 0, seed: UInt64 = 0
    ) {
        self.prefixes = prefixes
        self.omissions = omissions
        self.survivors = survivors
        self.tears = tears
        self.allSubsetsUpTo = allSubsetsUpTo
        self.randomSubsets = randomSubsets
        self.seed = seed
    }

    /// Everything above, with eight random choices.
    public static func thorough(seed: UInt64) -> CrashPolicy {
        CrashPolicy(randomSubsets: 8, seed: seed)
    }

    /// All subsets of up to eight unflushed writes; of more, everything above and 256 random choices.
    public static func exhaustive(seed: UInt64) -> CrashPolicy {
        CrashPolicy(allSubsetsUpTo: 8, randomSubsets: 256, seed: seed)
    }

    /// None, all, and the last write torn.
    public static let quick = CrashPolicy(prefixes: false, omissions: false, survivors: false)

    /// The fate of one unflushed write.
    enum Fate: Sendable {
        case lost
        case whole
        case sectors(Range<Int>)
    }

    /// The fates of the writes still at risk, oldest first, one array an image.
    /// - Parameter sectorCounts: of each; 1 for what cannot be torn.
    func choices(_ sectorCounts: [Int], moment: Int) -> [[Fate]] {
        let count = sectorCounts.count
        let none = [Fate](repeating: .lost, count: count), all = [Fate](repeating: .whole, count: count)
        var choices = [none]
        guard count > 0 else { return choices }
        choices.append(all)
        if prefixes {
            for end in 1..<count {
                choices.append([Fate](repeating: .whole, count: end) + [Fate](repeating: .lost, count: count - end))
            }
        }
        for index in 0..<count {
            if omissions { choices.append(all.replacing(index, by: .lost)) }
            if survivors { choices.append(none.replacing(index, by: .whole)) }
        }
        if tears, let sectors = sectorCounts.last {
            for cut in Self.cuts(sectors) {
                for part in [0..<cut, cut..<sectors] {
                    choices.append(all.replacing(count - 1, by: .sectors(part)))
                    choices.append(none.replacing(count - 1, by: .sectors(part)))
                }
            }
        }
        if count <= allSubsetsUpTo {
            choices += Self.subsets(sectorCounts)
            return choices
        }
        var random = SimRandom(seed: seed ^ UInt64(moment) &* 0xD129_0B3A_91C5_7E65)
        for _ in 0..<randomSubsets {
            choices.append(sectorCounts.map { Self.fate($0, &random) })
        }
        return choices
    }

    /// Every subset that is not empty, its last member whole or torn in the middle.
    private static func subsets(_ sectorCounts: [Int]) -> [[Fate]] {
        (1..<1 << sectorCounts.count).flatMap { members -> [[Fate]] in
            let fates = sectorCounts.indices.map { members >> $0 & 1 == 1 ? Fate.whole : .lost }
            let last = members.bitWidth - 1 - members.leadingZeroBitCount
            let sectors = sectorCounts[last]
            guard sectors > 1 else { return [fates] }
            return [
                fates, fates.replacing(last, by: .sectors(0..<sectors / 2)),
                fates.replacing(last, by: .sectors(sectors / 2..<sectors)),
            ]
        }
    }

    /// Where to cut a write: at its edges, at the borders of its outer blocks, and in the middle.
    private static func cuts(_ sectors: Int) -> [Int] {
        let wanted = [1, 8, sectors / 2, sectors - 8, sectors - 1].filter { (1..<max(1, sectors)).contains($0) }
        var cuts: [Int] = []
        for cut in wanted where !cuts.contains(cut) { cuts.append(cut) }
        return cuts
    }

    private static func fate(_ sectors: Int, _ random: inout SimRandom) -> Fate {
        switch Int.random(in: 0..<3, using: &random) {
        case 0: return .lost
        case 1 where sectors > 1:
            let cut = Int.random(in: 1..<sectors, using: &random)
            return .sectors(Bool.random(using: &random) ? 0..<cut : cut..<sectors)
        default: return .whole
        }
    }
}

extension [CrashPolicy.Fate] {
    fileprivate func replacing(_ index: Int, by fate: CrashPolicy.Fate) -> Self {
        var copy = self
        copy[index] = fate
        return copy
    }
}
