// How operations get at the map, of which only a part is in memory.

extension SecureDevice {
    /// Takes the monitor with every page of the map in memory that the range needs. They are sure to be there only while
    /// the monitor is held, but for pinned leaves; a range is best kept within a leaf, as all its pages must fit at once.
    /// On an error the monitor is not held.
    func lockWithMap(_ first: LogicalBlock, count: UInt64) throws(DeviceError) {
        try lockWithPages { map.missing(first, count: count) }
    }

    /// As ``lockWithMap(_:count:)``, for one page of the map and those above it.
    func lockWithMap(_ page: LogicalMap.Page) throws(DeviceError) {
        try lockWithPages { map.missing(page) }
    }

    /// The entries of `[start, end)` as far as the leaf goes that holds `start`; none for leaves that were never written.
    /// - Returns: and where to go on.
    func entries(from start: UInt64, to end: UInt64) throws(DeviceError) -> (entries: [MapEntry], next: UInt64) {
        let first = LogicalBlock(start), perLeaf = UInt64(MapEntry.perPage)
        try lockWithMap(first, count: 1)
        defer { monitor.unlock() }
        let empty = UInt64(map.emptyLeaves(from: map.leafIndex(first)))
        let next = min(end, (start / perLeaf + max(empty, 1)) * perLeaf)
        return (empty > 0 ? [] : (start..<next).map { map.entry(LogicalBlock($0)) }, next)
    }

    private func lockWithPages(_ missing: () -> (page: LogicalMap.Page, pointer: PagePointer)?) throws(DeviceError)
    {
        monitor.lock()
        while true {
            guard !isClosed else {
                monitor.unlock()
                throw .closed
            }
            guard let (page, pointer) = missing() else { return }
            monitor.unlock()
            let result: VolumeContext.PageResult
            do {
                result = try context.readPage(pointer, page.association)
            } catch { throw .latched("opening map page \(page.index) of level \(page.level): \(error)") }
            monitor.lock()
            do throws(DeviceError) { try take(result, page, pointer) } catch {
                monitor.unlock()
                throw error
            }
        }
    }

    /// What was read for `page` goes into the map. Monitor held.
    private func take(_ result: VolumeContext.PageResult, _ page: LogicalMap.Page, _ pointer: PagePointer)
        throws(DeviceError)
    {
        let first = LogicalBlock(UInt64(page.index) << (UInt64(page.level) * 7) * UInt64(MapEntry.perPage))
        switch result {
        case .verified(let buffer):
            guard map.install(page, at: pointer, UnsafeRawBufferPointer(buffer.bytes), context.geometry) else {
                setLatch("map page \(page.index) of level \(page.level) points outside the volume")
                throw .unreadable(first, .mapMismatch(pointer.block))
            }
        case .mismatch:
            // A checkpoint may have moved the page, and its old place been used again meanwhile.
            guard let (now, place) = map.missing(page), now == page, place == pointer else { return }
            setLatch("map page \(page.index) of level \(page.level) does not verify at \(pointer.block)")
            throw .unreadable(first, .mapMismatch(pointer.block))
        case .host(let error):
            throw .unreadable(first, .host(error))
        }
    }
}
