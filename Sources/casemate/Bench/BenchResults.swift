/// What was measured, side by side.
struct BenchResults {
    /// One row's figures, a round each.
    struct Pair {
        /// None where the plain file has no such figure.
        var plain = Sample()
        var volume = Sample()

        /// Round by round, the volume's figure as a multiple of the plain file's.
        var ratios: Sample {
            Sample(values: zip(volume.values, plain.values).map { $1 > 0 ? $0 / $1 : 0 })
        }
    }

    private(set) var pairs: [BenchRow: Pair] = [:]
    /// The first writing of all, into space that neither had used; once, so for information only.
    var freshFile: Work?
    var freshVolume: Work?

    mutating func add(_ row: BenchRow, plain: Double?, volume: Double) {
        if let plain { pairs[row, default: Pair()].plain.values.append(plain) }
        pairs[row, default: Pair()].volume.values.append(volume)
    }

    /// What the row's goal is about.
    func judged(_ row: BenchRow) -> Sample {
        let pair = pairs[row] ?? Pair()
        return row.isRatio ? pair.ratios : pair.volume
    }
}
