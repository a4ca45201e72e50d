import SimHost

/// One thing that happens to a volume. Everything a step needs is in it, so that any step can be left out.
public struct SwarmStep: Sendable, Hashable {
    public enum Action: Sendable, Hashable {
        case write(block: Int, count: Int)
        case discard(block: Int, count: Int)
        case read(block: Int, count: Int)
        case readAll
        case commit(waits: Bool)
        case waitForAll
        /// Close, and open again.
        case reopen
        /// The power goes now.
        case crash
        /// The power goes within so many calls of the host.
        case crashSoon(calls: Int)
        /// The process dies; the machine lives on.
        case kill
        /// Open a copy for reading, at the last commit or at an earlier one.
        case look(commitsBack: Int)
        case check
        /// Recover two copies of the same bytes.
        case recoverTwice
        case addKey
        case removeKey
        /// Another volume key, for all credentials.
        case rotateKey
        /// What is sealed under older volume keys is sealed again.
        case reseal
        /// Another size; blocks behind a smaller one are discarded first.
        case resize(blocks: Int)
        /// Copy the store now, for later.
        case save
        /// Put a saved copy back, and the anchor's value with it.
        case restore
        /// Open a copy beside the open volume, and write to both.
        case fork
        /// The owner of the store does something to it while nobody has it open.
        case adversary(AdversaryMove)
        case rollBackAnchor
        case faults(isOn: Bool)
        case createSnapshot
        case deleteSnapshot
        case lookAtSnapshots
        /// Open commits that the history lists.
        case lookBack
        /// How much log is to be kept for the history's sake, and whether writes give way to it.
        case historyPolicy(blocks: Int, isStrict: Bool)
    }
    public var action: Action
    /// What chance in this step depends on.
    public var seed: UInt64
}

/// What one seed does.
public struct SwarmPlan: Sendable {
    public var seed: UInt64
    /// Blocks of the device as it is created. Steps name blocks of such a device; where it has another size meanwhile,
    /// those at the same parts of it.
    public var blocks: Int
    public var segmentBlocks: Int
    public var sparePerMille: Int
    public var checkpointBlocks: Int?
    public var isAnchored: Bool
    public var anchorFailsPerMille: Int
    public var faults: FaultPlan
    public var steps: [SwarmStep]

    /// Swarm testing (Groce and others, 2012): every seed leaves out a random part of actions, faults and moves, as
    /// what is always there hides what needs its absence.
    public init(seed: UInt64, stepCount: Int = 70) {
        var random = SimRandom(seed: seed &* 0x9E37_79B9_7F4A_7C15 &+ 1)
        self.seed = seed
        blocks = [24, 48, 80, 160].randomElement(using: &random) ?? 48
        segmentBlocks = Int.random(in: 0..<5, using: &random) == 0 ? 32 : 16
        sparePerMille = [0, 100, 300, 2000].randomElement(using: &random) ?? 100
        checkpointBlocks = [nil, 16, 24, 60].randomElement(using: &random) ?? nil
        isAnchored = Int.random(in: 0..<3, using: &random) > 0
        anchorFailsPerMille = Int.random(in: 0..<4, using: &random) == 0 ? 30 : 0
        // A third of the seeds know only what an honest disk does: those are held to everything.
        let isHonest = Int.random(in: 0..<3, using: &random) == 0
        var kinds: Set<DiskFault> = []
        for fault in DiskFault.allCases where Bool.random(using: &random) && !(isHonest && fault.isLie) {
            kinds.insert(fault)
        }
        faults = FaultPlan(kinds, perMille: [2, 5, 20].randomElement(using: &random) ?? 5)
        let moves = AdversaryMove.allCases.filter { _ in Bool.random(using: &random) }
        let weights = Self.weights(isHonest: isHonest, &random)
        let total = weights.reduce(0) { $0 + $1.weight }
        steps = []
        for _ in 0..<stepCount {
            var choice = Int.random(in: 0..<total, using: &random)
            var kind = weights[0].kind
            for candidate in weights {
                if choice < candidate.weight {
                    kind = candidate.kind
                    break
                }
                choice -= candidate.weight
            }
            let action = Self.action(kind, blocks: blocks, moves: moves, &random)
            steps.append(SwarmStep(action: action, seed: random.next()))
        }
    }

    private enum Kind: CaseIterable {
        case write, discard, read, readAll, commit, waitForAll, reopen, crash, crashSoon, kill, look, check
        case recoverTwice, addKey, removeKey, rotateKey, reseal, resize, save, restore, fork, adversary,
            rollBackAnchor, faults
        case createSnapshot, deleteSnapshot, lookAtSnapshots, lookBack, historyPolicy
    }

    private static func weights(isHonest: Bool, _ random: inout SimRandom) -> [(kind: Kind, weight: Int)] {
        Kind.allCases.compactMap { kind in
            let isLeftOut = Int.random(in: 0..<4, using: &random) == 0
            switch kind {
            case .write: return (kind, 40)
            case .commit: return (kind, 14)
            case .adversary, .rollBackAnchor:
                return isHonest || isLeftOut ? nil : (kind, kind == .adversary ? 6 : 1)
            case .restore, .save: return (kind, 4)
            case .read, .discard: return isLeftOut ? nil : (kind, 5)
            case .historyPolicy, .fork, .addKey, .removeKey, .rotateKey, .reseal, .recoverTwice, .check, .readAll:
                return isLeftOut ? nil : (kind, 1)
            default: return isLeftOut ? nil : (kind, 2)
            }
        }
    }

    private static func action(_ kind: Kind, blocks: Int, moves: [AdversaryMove], _ random: inout SimRandom)
        -> SwarmStep.Action
    {
        let block = Int.random(in: 0..<blocks, using: &random)
        func count(_ limit: Int) -> Int { min(Int.random(in: 1...limit, using: &random), blocks - block) }
        switch kind {
        case .write: return .write(block: block, count: count(6))
        case .discard: return .discard(block: block, count: count(20))
        case .read: return .read(block: block, count: count(20))
        case .readAll: return .readAll
        case .commit: return .commit(waits: Int.random(in: 0..<3, using: &random) > 0)
        case .waitForAll: return .waitForAll
        case .reopen: return .reopen
        case .crash: return .crash
        case .crashSoon: return .crashSoon(calls: Int.random(in: 0..<60, using: &random))
        case .kill: return .kill
        case .look: return .look(commitsBack: Int.random(in: 0..<8, using: &random))
        case .check: return .check
        case .recoverTwice: return .recoverTwice
        case .addKey: return .addKey
        case .removeKey: return .removeKey
        case .rotateKey: return .rotateKey
        case .reseal: return .reseal
        case .resize: return .resize(blocks: Int.random(in: blocks / 2...blocks * 4, using: &random))
        case .save: return .save
        case .restore: return .restore
        case .fork: return .fork
        case .adversary: return .adversary(moves.randomElement(using: &random) ?? .zeroBlock)
        case .rollBackAnchor: return .rollBackAnchor
        case .faults: return .faults(isOn: Int.random(in: 0..<3, using: &random) > 0)
        case .createSnapshot: return .createSnapshot
        case .deleteSnapshot: return .deleteSnapshot
        case .lookAtSnapshots: return .lookAtSnapshots
        case .lookBack: return .lookBack
        case .historyPolicy:
            return .historyPolicy(
                blocks: [0, 30, 200].randomElement(using: &random) ?? 0, isStrict: Bool.random(using: &random))
        }
    }
}
