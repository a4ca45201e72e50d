extension SegmentTable {
    /// Traps when a structure kept beside the entries does not equal what a walk over them finds.
    func checkInvariants() {
        tree.checkInvariants()
        var data: UInt64 = 0, mapPages: UInt64 = 0
        var fresh = 0
        for segment in 0..<count {
            let entry = entries[segment]
            if entry.state == .neverUsed {
                fresh += 1
                precondition(entry.live == 0 && entry.generation.rawValue == 0 && entry.pins == 0)
            }
            if entry.stream == .meta { mapPages += UInt64(entry.live) } else { data += UInt64(entry.live) }
        }
        precondition(data == liveData && mapPages == livePages && fresh == neverUsed)
        precondition(tablePages == (0..<count).reduce(0) { $0 + Int(volatile[$1].pages) })
        checkReuse()
        checkVictims()
        checkPages()
    }
}
