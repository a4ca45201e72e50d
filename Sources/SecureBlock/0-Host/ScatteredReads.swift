/// Counts small reads by the region of the file that they go to, and tells when a region is worth reading whole.
///
/// Scattered reads of a set that is much larger than memory hardly ever meet in one region before it is forgotten; those of a
/// set that memory can hold do, soon, and then a disk brings 64 blocks in little more time than one. InnoDB's random
/// read-ahead goes by the same sign.
final class ScatteredReads: Sendable {
    /// 256 KiB: a disk spends about as long on the way to the first byte as on these.
    static let regionBytes: UInt64 = 256 << 10
    /// Reads of a region before all of it is worth while: a sixteenth of its blocks.
    static let enough: UInt8 = 4
    /// Regions that are remembered: 4 GiB of the file.
    static let regionLimit = 1 << 14

    private struct Region {
        var number = UInt64.max
        var reads: UInt8 = 0
    }

    private let regions = Monitor([Region](repeating: Region(), count: ScatteredReads.regionLimit))

    /// Takes note of a read.
    /// - Returns: where the region begins, when it has just become worth reading; once for each time it is remembered.
    func note(_ offset: UInt64) -> UInt64? {
        let number = offset / Self.regionBytes
        let isEnough = regions.withLock { regions in
            let place = Int(number % UInt64(Self.regionLimit))
            if regions[place].number != number { regions[place] = Region(number: number) }
            guard regions[place].reads < Self.enough else { return false }
            regions[place].reads += 1
            return regions[place].reads == Self.enough
        }
        return isEnough ? number * Self.regionBytes : nil
    }
}
