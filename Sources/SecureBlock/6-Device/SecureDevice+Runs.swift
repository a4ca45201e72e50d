extension SecureDevice {
    /// Calls `body` with every run of blocks that hold something, in order; all others read as zeros. Runs end at the
    /// pages of the map, so none is longer than 512 blocks. Blocks known to be lost count: reading them says so.
    public func forEachRun(
        _ body: (_ first: LogicalBlock, _ count: Int) throws(DeviceError) -> Void
    ) throws(DeviceError) {
        var start: UInt64 = 0
        while start < logicalBlockCount {
            let (entries, next) = try entries(from: start, to: logicalBlockCount)
            defer { start = next }
            var first: Int?
            for index in 0...entries.count {
                let isUsed = index < entries.count && entries[index] != .none
                if isUsed, first == nil { first = index }
                if !isUsed, let run = first {
                    try body(LogicalBlock(start + UInt64(run)), index - run)
                    first = nil
                }
            }
        }
    }
}
