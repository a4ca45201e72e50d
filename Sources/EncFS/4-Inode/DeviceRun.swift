import SecureBlock

/// Blocks of a file that lie side by side on the device, or a hole.
struct DeviceRun {
    /// The first block in the file.
    var fileBlock: UInt64
    var count: UInt64
    /// The first logical block; `nil` for a hole.
    var first: UInt64?

    var fileEnd: UInt64 { fileBlock + count }

    /// The runs of `range`, neighbours joined even where extents end.
    static func cover(_ range: Range<UInt64>, with extents: [Extent]) -> [DeviceRun] {
        var runs: [DeviceRun] = []
        var position = range.lowerBound
        for extent in extents where extent.fileEnd > position && extent.fileBlock < range.upperBound {
            if extent.fileBlock > position {
                runs.append(DeviceRun(fileBlock: position, count: extent.fileBlock - position, first: nil))
                position = extent.fileBlock
            }
            let end = min(extent.fileEnd, range.upperBound)
            let first = extent.first + (position - extent.fileBlock)
            if let last = runs.last, let lastFirst = last.first, lastFirst + last.count == first {
                runs[runs.count - 1].count += end - position
            } else {
                runs.append(DeviceRun(fileBlock: position, count: end - position, first: first))
            }
            position = end
        }
        if position < range.upperBound {
            runs.append(DeviceRun(fileBlock: position, count: range.upperBound - position, first: nil))
        }
        return runs
    }
}
