import Glibc

// Size. It is in the root, not in the superblock, so a checkpoint that fills both slots changes it: until the second slot is
// written, a crash may lead back to a root of the old size, which the log must still fit.
//
// Growing: the store first, then both roots, and only then is anything placed in what is new. Shrinking: nobody names blocks
// behind the new end any more, what is stored there is moved to the front, a checkpoint lets go of it, another one has the
// new size, and only then is the store cut.

extension SecureDevice {
    /// Makes the device larger or smaller while it is in use; durable on return.
    ///
    /// A client that may have changes must be still meanwhile, all it wrote committed, as for ``createSnapshot(_:)``; reads go
    /// on. Growing takes a moment. Shrinking moves what is stored behind the new end, unless ``prepareResize(toBlocks:progress:)``
    /// has; its blocks behind the new end must have been discarded. Commits that needed what is cut off cannot be opened
    /// any more.
    /// - Parameter progress: blocks moved, of how many.
    public func resize(
        toBlocks blocks: UInt64, progress: (_ moved: UInt64, _ toMove: UInt64) -> Void = { _, _ in }
    ) throws(ResizeError) {
        try reshaping { () throws(ResizeError) in
            let now = context.geometry
            let next = try planned(blocks)
            defer { letGoOfEnd() }
            if next.logicalBlocks < now.logicalBlocks { try checkNothing(behind: next.logicalBlocks) }
            if next.segmentCount < now.segmentCount {
                try empty(behind: next.segmentCount, isStill: true, progress)
            } else {
                try extendStore(to: next.volumeBytes)
            }
            if next != now { try change(to: next) }
            do throws(HostError) {
                try context.host.cut(to: next.volumeBytes)
                try context.host.flush()
            } catch { throw .host(error) }
            do throws(DeviceError) { try anchorRoots() } catch { throw .device(error) }
        }
    }

    /// Moves, while the client goes on, what ``resize(toBlocks:progress:)`` to fewer blocks would have to move while it is
    /// still. Nothing is stored behind the new end until then, or until ``abandonResize()``.
    public func prepareResize(
        toBlocks blocks: UInt64, progress: (_ moved: UInt64, _ toMove: UInt64) -> Void = { _, _ in }
    ) throws(ResizeError) {
        try reshaping { () throws(ResizeError) in
            let next = try planned(blocks)
            guard next.segmentCount < context.geometry.segmentCount else { return }
            do throws(ResizeError) { try empty(behind: next.segmentCount, isStill: false, progress) } catch {
                letGoOfEnd()
                throw error
            }
        }
    }

    /// Uses the end again after ``prepareResize(toBlocks:progress:)``.
    public func abandonResize() { reshaping { letGoOfEnd() } }

    private func letGoOfEnd() {
        monitor.locked {
            table.release(.resize)
            servedBlocks.store(context.geometry.logicalBlocks, ordering: .relaxed)
            monitor.broadcast()
        }
    }

    private func planned(_ blocks: UInt64) throws(ResizeError) -> Geometry {
        let (now, spare) = monitor.locked { (context.geometry, log.sparePerMille) }
        do throws(DeviceError) { try monitor.locked { () throws(DeviceError) in try checkWritable() } } catch {
            throw .device(error)
        }
        guard
            var next = Geometry.planned(
                logicalBlocks: blocks, segmentBlocks: now.segmentBlocks, sparePerMille: Int(spare))
        else { throw .unsuitable(blocks: blocks) }
        // A volume may have more segments than are planned for its size now.
        if blocks >= now.logicalBlocks { next.segmentCount = max(next.segmentCount, now.segmentCount) }
        let isUsedUp = monitor.locked { table.cutGeneration.rawValue == UInt32.max }
        guard next.segmentCount <= now.segmentCount || !isUsedUp else { throw .unsuitable(blocks: blocks) }
        return next
    }

    /// The flush before the root makes the size durable.
    private func extendStore(to byteCount: UInt64) throws(ResizeError) {
        do throws(HostError) {
            guard try context.host.byteCount() < byteCount else { return }
            try context.host.allocate(
                offset: byteCount - UInt64(blockBytes), byteCount: UInt64(blockBytes))
        } catch { throw .host(error) }
    }

    /// Ends the naming of blocks behind `end`, and makes sure that there are none.
    private func checkNothing(behind end: UInt64) throws(ResizeError) {
        do throws(DeviceError) {
            servedBlocks.store(end, ordering: .relaxed)
            // Whoever was given slots before has filled them after this; who asks for some later is refused.
            try monitor.locked { () throws(DeviceError) in
                try withBarrier { () throws(DeviceError) in try closeAndDrain(.user) }
            }
        } catch { throw .device(error) }
        var block = end
        while block < context.geometry.logicalBlocks {
            let part: (entries: [MapEntry], next: UInt64)
            do throws(DeviceError) { part = try entries(from: block, to: context.geometry.logicalBlocks) } catch {
                throw .device(error)
            }
            if let used = part.entries.firstIndex(where: { $0 != .none }) {
                throw .inUse(LogicalBlock(block + UInt64(used)))
            }
            block = part.next
        }
    }

    /// Has both slots describe the new size, and takes it over.
    private func change(to next: Geometry) throws(ResizeError) {
        monitor.locked { holdsCleaner = true }
        defer { monitor.locked { holdsCleaner = false } }
        for _ in 0..<8 {
            do throws(DeviceError) {
                // Whatever was being moved is. After a checkpoint the stored map is the present one, but for its size.
                try maintaining {}
                guard try checkpointNow() != nil else { throw .commitRequired }
                let plan = try planMap(next.logicalBlocks)
                if try change(to: next, plan) { return }
                // Somebody was in between.
                usleep(1000)
            } catch {
                throw error == .commitRequired ? .uncommittedChanges : .device(error)
            }
        }
        throw .uncommittedChanges
    }

    /// - Returns: `false` when the map is not as it was planned for, or a segment is needed yet.
    private func change(to next: Geometry, _ plan: LogicalMap.Resizing) throws(DeviceError) -> Bool {
        var droppedTablePages: [PagePointer] = []
        var isReady = true
        do throws(DeviceError) {
            let outcome = try checkpointNow(nil) { () throws(DeviceError) in
                let cut = min(next.segmentCount, UInt32(table.count))..<UInt32(table.count)
                isReady = map.is(plan) && cut.allSatisfy { table.isPastNeed($0) }
                guard isReady, let resized = map.resized(by: plan, context.geometry) else { throw .commitRequired }
                for segment in cut { log.historyHorizon = max(log.historyHorizon, table.historyEnd(segment)) }
                map = resized
                droppedTablePages = table.resize(count: Int(next.segmentCount), keepingNew: .resize)
            } frozen: { checkpoint in
                let isSmaller =
                    next.segmentCount < context.geometry.segmentCount
                    || next.logicalBlocks < context.geometry.logicalBlocks
                checkpoint.geometry = next
                // What is cut off is used no more; what is new not before both slots say so.
                if isSmaller { adopt(next) }
                for page in plan.dropped
                where !table.droppedMapPage(page.block, checkpoint.commit.sequence, next) {
                    setLatch("the map has a page in use where the segment table has none")
                }
                for page in droppedTablePages {
                    table.movedTablePage(from: page.block, to: nil, checkpoint.commit.sequence, next)
                }
            }
            if outcome == nil { throw DeviceError.commitRequired }
            return true
        } catch {
            if !isReady { return false }
            throw error
        }
    }

    /// What becomes of the stored pages of the map.
    private func planMap(_ blocks: UInt64) throws(DeviceError) -> LogicalMap.Resizing {
        var plan = monitor.locked { LogicalMap.Resizing(map, logicalBlocks: blocks) }
        while let (page, pointer) = plan.nextToRead() {
            let result: VolumeContext.PageResult
            do { result = try context.readPage(pointer, page.association) } catch {
                throw .latched("opening map page \(page.index) of level \(page.level): \(error)")
            }
            switch result {
            case .verified(let bytes): plan.take(page, pointer, bytes)
            case .mismatch: throw .unreadable(LogicalBlock(blocks), .mapMismatch(pointer.block))
            case .host(let error): throw .unreadable(LogicalBlock(blocks), .host(error))
            }
        }
        return plan
    }

    /// Takes over a size. Monitor held.
    func adopt(_ geometry: Geometry) {
        context.adopt(geometry)
        servedBlocks.store(geometry.logicalBlocks, ordering: .relaxed)
        table.release(.resize)
    }
}
