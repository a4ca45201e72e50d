extension SecureDevice {
    /// Traps when memory contradicts itself: map pages, live counts, queues and lists of segments, streams. For tests, with
    /// no client at work; the cleaner rests meanwhile. Reads the whole map.
    public func checkInvariants() throws(DeviceError) {
        let cleans = monitor.locked { mode == .readWrite && latch == nil && !isClosed }
        if cleans { try maintaining { () throws(DeviceError) in try checkMemory() } } else { try checkMemory() }
    }

    private func checkMemory() throws(DeviceError) {
        let counts = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: table.count)
        counts.initialize(repeating: 0)
        defer { counts.deallocate() }
        var start: UInt64 = 0
        while start < logicalBlockCount {
            let (entries, next) = try entries(from: start, to: logicalBlockCount)
            for entry in entries { note(entry.block, counts) }
            start = next
        }
        let root = monitor.locked { () -> [PagePointer]? in
            map.checkInvariants()
            table.checkInvariants()
            if checkpoint == nil, mode == .readWrite {
                let lists = log.epochPages.count + log.retention.snapshotPages.count
                precondition(table.tablePages == table.tree.pages.count + lists, "a page counted that no root has")
            }
            precondition(log.acknowledged.sequence <= log.durable && log.durable <= log.last.sequence)
            let isQuiet = log.streams.allSatisfy(\.isDrained) && log.discards.isEmpty && checkpoint == nil
            return isQuiet ? map.top : nil
        }
        guard let root else { return }
        do {
            let tree = try PageTree.load(kind: .mapPage, leafCount: map.leafCount, top: root, context)
            for pointer in tree.pages { note(pointer.block, counts) }
        } catch { throw .latched("reading the map's pages: \(error)") }
        monitor.locked {
            for segment in 0..<context.geometry.segmentCount {
                precondition(table[segment].live == counts[Int(segment)], "live count of segment \(segment)")
            }
        }
    }

    /// Counts a block that is in use; block 0 is none.
    private func note(_ block: PhysicalBlock, _ counts: UnsafeMutableBufferPointer<UInt32>) {
        guard block.rawValue != 0 else { return }
        guard let position = context.geometry.position(block) else {
            preconditionFailure("the map points outside the volume")
        }
        counts[Int(position.segment)] += 1
    }
}
