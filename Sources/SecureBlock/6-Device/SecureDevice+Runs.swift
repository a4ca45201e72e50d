extension SecureDevice {
    /// Calls `body` with every run of blocks that hold something, in order; all others read as zeros. Runs end at the
    /// pages of the map, so none is longer than 512 blocks. Blocks known to be lost count: reading them says so.
    public func forEachRun(
        _ body: (_ first: LogicalBlock, _ count: Int) throws(DeviceError) -> Void
    ) throws(DeviceError) {
        let perPage = UInt64(MapEntry.perPage)
        for start in stride(from: 0, to: logicalBlockCount, by: Int(perPage)) {
            let count = min(perPage, logicalBlockCount - start)
            try loadMap(LogicalBlock(start), count: count)
            let used = monitor.locked {
                (0..<count).map { map.entry(LogicalBlock(start + $0)) != .none }
            }
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
