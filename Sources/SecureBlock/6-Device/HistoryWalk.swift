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
/// recovery made: the next epoch's root says where that was.
package struct HistoryWalk {
    private let context: VolumeContext
    /// Roots newest first, each with the last commit that counts on its chain; `nil`: to the chain's end.
    private let roots: [(root: Root, bound: SequenceNumber?)]

    /// More roots than this are not looked at.
    static let maximumRoots = 4096

    package init(_ unlocked: UnlockedVolume) throws(VolumeError) {
        context = unlocked.context
        var found: [(root: Root, bound: SequenceNumber?)] = [(unlocked.newest, nil)]
        var current = unlocked.newest
        while let previous = current.previous, found.count < Self.maximumRoots {
            guard previous.commit < current.commit.sequence,
                let root = try Self.read(previous, unlocked.context), root.commit.sequence == previous.commit,
                unlocked.context.epochs.index(of: root.epoch) == root.epochIndex,
                root.logicalBlocks == current.logicalBlocks, root.segmentCount == current.segmentCount
            else { break }
            let bound =
                root.epoch == current.epoch ? current.commit.sequence : current.recoveredFrom.sequence
            found.append((root, bound))
            current = root
        }
        roots = found
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

    /// The newest root at or before `target`, and the last commit that counts on its chain.
    func root(for target: SequenceNumber) throws(VolumeError) -> (Root, SequenceNumber) {
        for (root, bound) in roots where root.commit.sequence <= target {
            return (root, bound ?? SequenceNumber(UInt64.max))
        }
        throw .noSuchCommit(target)
    }

    /// Every commit that can be reached and is whole, newest first.
    package func commits() throws(VolumeError) -> [CommitRecord] {
        var commits: [CommitRecord] = []
        let horizon = roots[0].root.historyHorizon
        for (root, bound) in roots {
            if root.commit.sequence < horizon { break }
            var chain = [
                CommitRecord(
                    sequence: root.commit.sequence, timeMilliseconds: root.timeMilliseconds, blocks: 0,
                    kind: root.commit.sequence.rawValue == root.recoveredFrom.sequence.rawValue + 1
                        ? .opening : .commit)
            ]
            let reader = try ChainReader(context, from: root)
            var blocks: UInt64 = 0
            while let header = try reader.next() {
                if let bound, header.sequence > bound { break }
                blocks += UInt64(header.entries.count { $0.kind == .data })
                for entry in header.entries where !entry.kind.hasBlock { blocks &+= entry.discardCount }
                if header.isCommit {
                    chain.append(
                        CommitRecord(
                            sequence: header.sequence, timeMilliseconds: header.timeMilliseconds, blocks: blocks,
                            kind: .commit))
                    blocks = 0
                }
            }
            // The chain from an older root runs into the next root's own commit: count it once, with its blocks.
            if let first = commits.last, let again = chain.last, first.sequence == again.sequence {
                commits[commits.count - 1].blocks = again.blocks
                chain.removeLast()
            }
            commits.append(contentsOf: chain.reversed())
        }
        return commits
    }
}
