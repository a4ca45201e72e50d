/// One commit that can still be reached.
public struct CommitRecord: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// A client's commit.
        case commit
        /// The first of an epoch: the recovered state, nothing else.
        case opening
    }
    public var sequence: SequenceNumber
    /// Milliseconds since the epoch, by the writer's clock.
    public var timeMilliseconds: UInt64
    /// Blocks that it and the records before it, back to the commit before, carry or discard.
    public var blocks: UInt64
    public var kind: Kind
}

/// Goes back from root to root: what `replay` shows and `mount --at` opens.
///
/// A root's copy in the log is found through the next root. Nothing that is found this way is newer than the cut that
/// recovery made: the next epoch's root says where that was. No root whose commit is older than the history horizon is
/// whole, so the walk ends there.
package struct HistoryWalk {
    private let context: VolumeContext
    private let horizon: SequenceNumber
    private var current: (root: Root, bound: SequenceNumber)?

    /// - Parameters:
    ///   - newest: where to begin.
    ///   - bound: the last commit that counts on its chain.
    ///   - horizon: no root before this commit is whole.
    package init(_ context: VolumeContext, newest: Root, bound: SequenceNumber, horizon: SequenceNumber) {
        self.context = context
        self.horizon = horizon
        current = newest.commit.sequence >= horizon ? (newest, bound) : nil
    }

    /// Of a volume as it would open now: what came after the newest root counts, and what it took from history is gone.
    init(_ unlocked: UnlockedVolume) throws(VolumeError) {
        let forward = try RollForward(unlocked.context, from: unlocked.newest, anchor: nil)
        let replayed = try SecureDevice.replayed(
            forward.records, on: unlocked.newest, unlocked.context, notesHistory: true)
        let horizon = replayed.horizon(after: forward.cut)
        self.init(unlocked.context, newest: unlocked.newest, bound: forward.end.sequence, horizon: horizon)
    }

    /// The next older root and the last commit that counts on its chain; `nil` behind the oldest that is whole.
    package mutating func next() throws(VolumeError) -> (root: Root, bound: SequenceNumber)? {
        guard let found = current else { return nil }
        current = nil
        let root = found.root
        guard let previous = root.previous, previous.commit < root.commit.sequence, previous.commit >= horizon,
            let older = try Self.read(previous, context), older.commit.sequence == previous.commit,
            context.epochs.index(of: older.epoch) == older.epochIndex
        else { return found }
        current = (older, older.epoch == root.epoch ? root.commit.sequence : root.recoveredFrom.sequence)
        return found
    }

    /// The root whose copy is there; `nil` when it does not verify.
    static func read(_ previous: Root.Previous, _ context: VolumeContext) throws(VolumeError) -> Root? {
        do {
            switch try context.readPage(
                previous.pointer, BlockAssociation(.root, address: previous.commit.rawValue))
            {
            case .verified(let buffer):
                return try Root(
                    parsingPayload: UnsafeRawBufferPointer(rebasing: buffer.bytes[..<Root.payloadBytes]), number: 0)
            case .mismatch: return nil
            case .host(let error): throw error
            }
        } catch let error as HostError {
            throw .host(error)
        } catch is ParseError {
            return nil
        } catch { throw .crypto("\(error)") }
    }

    /// The newest root at or before `target`, whose chain reaches it.
    func root(for target: SequenceNumber) throws(VolumeError) -> Root {
        var walk = self
        while let (root, bound) = try walk.next() {
            guard root.commit.sequence <= target else { continue }
            guard target <= bound else { break }
            return root
        }
        throw .noSuchCommit(target)
    }

    /// Every root that can be reached, oldest first.
    func marks() throws(VolumeError) -> [Retention.Mark] {
        var walk = self
        var marks: [Retention.Mark] = []
        while let (root, _) = try walk.next() { marks.append(Retention.Mark(root)) }
        return marks.reversed()
    }

    /// Every commit that can be reached and is whole, newest first.
    package func commits() throws(VolumeError) -> [CommitRecord] {
        var walk = self
        var commits: [CommitRecord] = []
        while let (root, bound) = try walk.next() {
            var chain = try Self.chain(from: root, to: bound, context.viewing(root))
            // The chain from an older root runs into the next root's own commit: count it once, with its blocks.
            if let first = commits.last, let again = chain.last, first.sequence == again.sequence {
                commits[commits.count - 1].blocks = again.blocks
                chain.removeLast()
            }
            commits.append(contentsOf: chain.reversed())
        }
        return commits
    }

    /// The root's own commit and those after it, oldest first.
    private static func chain(from root: Root, to bound: SequenceNumber, _ context: VolumeContext)
        throws(VolumeError) -> [CommitRecord]
    {
        var chain = [
            CommitRecord(
                sequence: root.commit.sequence, timeMilliseconds: root.timeMilliseconds, blocks: 0,
                kind: root.commit.sequence.rawValue == root.recoveredFrom.sequence.rawValue + 1
                    ? .opening : .commit)
        ]
        let reader = try ChainReader(context, from: root)
        var blocks: UInt64 = 0
        while let header = try reader.next(), header.sequence <= bound {
            blocks += UInt64(header.entries.count { $0.kind == .data })
            for entry in header.entries where entry.kind == .discard || entry.kind == .lost {
                blocks &+= entry.discardCount
            }
            if header.isCommit {
                chain.append(
                    CommitRecord(
                        sequence: header.sequence, timeMilliseconds: header.timeMilliseconds, blocks: blocks,
                        kind: .commit))
                blocks = 0
            }
        }
        return chain
    }
}
