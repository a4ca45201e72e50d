extension TreeCheck {
    /// Every block of a shared run is named by exactly as many extents as the run says.
    func checkSharing() {
        // How many extents begin to name a block, and how many end before it.
        var changes = references.flatMap { [($0.lowerBound, 1), ($0.upperBound, -1)] }
        changes.sort { $0.0 < $1.0 }
        var next = 0
        var depth = 0
        for run in shared {
            var position = run.first
            while position < run.place.upperBound {
                while next < changes.count, changes[next].0 <= position {
                    depth += changes[next].1
                    next += 1
                }
                if depth != Int(run.references) {
                    report(
                        "reference-count",
                        "block \(position): \(depth) extents name it, \(run.references) are counted")
                    break
                }
                position = next < changes.count ? min(changes[next].0, run.place.upperBound) : run.place.upperBound
            }
        }
    }
}
