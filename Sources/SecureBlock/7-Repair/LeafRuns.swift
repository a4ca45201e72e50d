/// Runs of whole leaves that records discarded or lost at once, of which the newest counts. A record may name 2³⁸ blocks;
/// a run takes 40 bytes, however long it is.
struct LeafRuns {
    private struct Run {
        var leaves: Range<Int>
        var isLost: Bool
        var sequence: SequenceNumber
    }
    private var runs: [Run] = []

    mutating func note(_ leaves: Range<Int>, isLost: Bool, _ sequence: SequenceNumber) {
        guard !leaves.isEmpty else { return }
        runs.append(Run(leaves: leaves, isLost: isLost, sequence: sequence))
    }

    /// The leaves whose newest run is a discard, and those whose newest run is a loss.
    ///
    /// Paints the newest runs first, over the pieces between all ends of runs; `next` leads past what is painted, so that
    /// each piece is met once.
    func resolved() -> (discarded: RangeSet<Int>, lost: RangeSet<Int>) {
        let ends = Set(runs.flatMap { [$0.leaves.lowerBound, $0.leaves.upperBound] }).sorted()
        let places = Dictionary(uniqueKeysWithValues: ends.enumerated().map { ($1, $0) })
        var isLost = [Bool?](repeating: nil, count: ends.count)
        var next = Array(ends.indices)
        func firstUnpainted(from piece: Int) -> Int {
            var piece = piece
            while next[piece] != piece {
                next[piece] = next[next[piece]]
                piece = next[piece]
            }
            return piece
        }
        // Of one record's entries the last counts.
        let order = runs.indices.sorted { (runs[$0].sequence, $0) > (runs[$1].sequence, $1) }
        for run in order.map({ runs[$0] }) {
            guard let start = places[run.leaves.lowerBound], let end = places[run.leaves.upperBound]
            else { continue }
            var piece = firstUnpainted(from: start)
            while piece < end {
                isLost[piece] = run.isLost
                next[piece] = piece + 1
                piece = firstUnpainted(from: piece)
            }
        }
        var discarded = RangeSet<Int>(), lost = RangeSet<Int>()
        for (piece, isLost) in isLost.enumerated() {
            guard let isLost else { continue }
            let leaves = ends[piece]..<ends[piece + 1]
            if isLost { lost.insert(contentsOf: leaves) } else { discarded.insert(contentsOf: leaves) }
        }
        return (discarded, lost)
    }
}
