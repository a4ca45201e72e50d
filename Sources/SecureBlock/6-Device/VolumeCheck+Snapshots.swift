extension VolumeCheck {
    /// Holds the pins of the segment table against what the snapshots need, each told by its own root.
    static func checkSnapshots(
        _ unlocked: UnlockedVolume, _ table: SegmentTable, _ report: (VolumeFinding) -> Void
    ) {
        var expected = [Int](repeating: 0, count: table.count)
        var isComplete = true
        for entry in unlocked.snapshots {
            do throws(VolumeError) {
                for segment in try SecureDevice.segmentsNeeded(by: entry, unlocked.context) {
                    guard segment < table.count else {
                        report(
                            VolumeFinding(
                                .error, "snapshot", "snapshot \(entry.name) needs a segment behind the volume's end"
                            ))
                        continue
                    }
                    expected[Int(segment)] += 1
                }
            } catch {
                isComplete = false
                report(VolumeFinding(.error, "snapshot", "snapshot \(entry.name) cannot be opened: \(error)"))
            }
        }
        for segment in 0..<UInt32(table.count) {
            let pins = Int(table[segment].pins), needed = expected[Int(segment)]
            if pins < needed {
                report(
                    VolumeFinding(
                        .error, "pins",
                        "segment \(segment) is needed by \(needed) snapshots and pinned by \(pins): it may be reused"
                    ))
            } else if pins > needed, isComplete {
                report(
                    VolumeFinding(
                        .warning, "pins",
                        "segment \(segment) is needed by \(needed) snapshots and pinned by \(pins): it is never reused"
                    ))
            }
        }
    }
}
