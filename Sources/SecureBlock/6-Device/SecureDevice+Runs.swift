extension SecureDevice {
    /// Calls `body` with every run of blocks that hold something, in order; all others read as zeros. Runs end at the
    /// pages of the map, so none is longer than 512 blocks. Blocks known to be lost count: reading them says so.
    public func forEachRun(
        _ body: (_ first: LogicalBlock, _ count: Int) throws(DeviceError) -> Void
    ) throws(DeviceError) {
        let perPage = UInt64(MapEntry.perPage)
        var start: UInt64 = 0
        while start < logicalBlockCount {
            let count = min(perPage, logicalBlockCount - start)
            try lockWithMap(LogicalBlock(start), count: count)
            let empty = UInt64(map.emptyLeaves(from: Int(start / perPage)))
            let used = empty > 0 ? [] : (0..<count).map { map.entry(LogicalBlock(start + $0)) != .none }
            monitor.unlock()
            defer { start += max(empty, 1) * perPage }
            var first: Int?
            for index in 0...used.count {
                let isUsed = index < used.count && used[index]
                if isUsed, first == nil { first = index }
                if !isUsed, let run = first {
                    try body(LogicalBlock(start + UInt64(run)), index - run)
                    first = nil
                }
            }
        }
    }
}
