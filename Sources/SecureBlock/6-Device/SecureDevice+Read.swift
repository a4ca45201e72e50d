import Glibc

extension SecureDevice {
    /// A run of logical blocks that lie one after the other in one record.
    private struct Run {
        /// Block within the caller's range.
        var start: Int
        var count: Int
        var block: PhysicalBlock
        var slot: Int
        var segment: UInt32
        var generation: Generation
        var epochIndex: UInt32
        /// The record, while it is still in memory.
        var record: RecordBuffer?
        var header: PhysicalBlock { PhysicalBlock(block.rawValue - 1 - UInt64(slot)) }
    }

    public func read(_ first: LogicalBlock, into buffer: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        let count = try checkedCount(first, byteCount: buffer.count)
        guard count > 0, let start = buffer.baseAddress else { return }
        // Ciphertext comes into the caller's buffer and is opened in place, where direct I/O can reach it.
        guard UInt(bitPattern: start) % UInt(blockBytes) == 0 else {
            let aligned = AlignedBuffer(byteCount: buffer.count)
            do throws(DeviceError) {
                try read(first, into: aligned.bytes)
            } catch {
                memset(start, 0, buffer.count)
                throw error
            }
            buffer.copyMemory(from: UnsafeRawBufferPointer(aligned.bytes))
            return
        }
        do throws(DeviceError) {
            try loadMap(first, count: count)
            let runs = try pinRuns(first, Int(count), zeroing: buffer)
            defer { unpin(runs) }
            try fetch(runs, first, into: buffer)
        } catch {
            memset(start, 0, buffer.count)
            throw error
        }
    }

    /// Finds where the range is, and keeps what it needs from being reused. Zeros are filled in at once.
    private func pinRuns(_ first: LogicalBlock, _ count: Int, zeroing buffer: UnsafeMutableRawBufferPointer)
        throws(DeviceError) -> [Run]
    {
        monitor.lock()
        defer { monitor.unlock() }
        guard !isClosed else { throw .closed }
        var runs: [Run] = []
        for index in 0..<count {
            let entry = map.entry(LogicalBlock(first.rawValue + UInt64(index)))
            guard !entry.isLost else {
                release(runs)
                throw .unreadable(LogicalBlock(first.rawValue + UInt64(index)), .lost)
            }
            guard entry.isMapped else {
                let block = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[index * blockBytes..<(index + 1) * blockBytes])
                block.initializeMemory(as: UInt8.self, repeating: 0)
                continue
            }
            if let last = runs.indices.last, runs[last].start + runs[last].count == index,
                entry.block.rawValue == runs[last].block.rawValue + UInt64(runs[last].count),
                entry.slot == runs[last].slot + runs[last].count
            {
                runs[last].count += 1
                continue
            }
            guard let position = context.geometry.position(entry.block) else {
                release(runs)
                throw .unreadable(LogicalBlock(first.rawValue + UInt64(index)), .mapMismatch(entry.block))
            }
            let segment = table[position.segment]
            let run = Run(
                start: index, count: 1, block: entry.block, slot: entry.slot, segment: position.segment,
                generation: segment.generation, epochIndex: segment.epochIndex,
                record: recordInMemory(position))
            table[volatile: position.segment].readers += 1
            run.record?.readers += 1
            runs.append(run)
        }
        return runs
    }

    /// The record that holds `position`, while the host may not have it yet. Call with the monitor held.
    private func recordInMemory(_ position: LogPosition) -> RecordBuffer? {
        guard table[volatile: position.segment].recordsInMemory > 0 else { return nil }
        for stream in log.streams {
            if let open = stream.open, open.contains(position) { return open }
            if let queued = stream.queue.first(where: { $0.contains(position) }) { return queued }
        }
        return log.inFlight.first { $0.contains(position) }
    }

    private func unpin(_ runs: [Run]) {
        monitor.locked { release(runs) }
    }

    private func release(_ runs: [Run]) {
        for run in runs {
            table[volatile: run.segment].readers -= 1
            run.record?.readers -= 1
        }
    }

    /// Reads data and missing headers in one batch, then opens every block.
    private func fetch(_ runs: [Run], _ first: LogicalBlock, into buffer: UnsafeMutableRawBufferPointer)
        throws(DeviceError)
    {
        var batch: [HostRead] = []
        var headers: [UInt64: AlignedBuffer] = [:]
        var known: [TagCache.Tags?] = []
        for run in runs {
            guard run.record == nil else {
                known.append(nil)
                continue
            }
            batch.append(
                HostRead(
                    offset: context.offset(run.block),
                    buffer: UnsafeMutableRawBufferPointer(
                        rebasing: buffer[run.start * blockBytes..<(run.start + run.count) * blockBytes])))
            let tags = tagCache.tags(header: run.header, run.generation)
            known.append(tags)
            if tags == nil, headers[run.header.rawValue] == nil {
                let block = AlignedBuffer(byteCount: blockBytes)
                headers[run.header.rawValue] = block
                batch.append(HostRead(offset: context.offset(run.header), buffer: block.bytes))
            }
        }
        if !batch.isEmpty {
            do { try context.host.read(batch) } catch {
                throw .unreadable(LogicalBlock(first.rawValue + UInt64(runs[0].start)), .host(error))
            }
        }
        for (index, run) in runs.enumerated() {
            let block = LogicalBlock(first.rawValue + UInt64(run.start))
            let target = UnsafeMutableRawBufferPointer(
                rebasing: buffer[run.start * blockBytes..<(run.start + run.count) * blockBytes])
            if let record = run.record {
                try open(run, block, from: record, into: target)
            } else {
                let tags: TagCache.Tags
                if let cached = known[index] {
                    tags = cached
                } else {
                    tags = try openHeader(run, block, headers[run.header.rawValue])
                }
                try open(run, block, target, tags)
            }
        }
    }

    /// Verifies a record's header and keeps its tags.
    private func openHeader(_ run: Run, _ block: LogicalBlock, _ stored: AlignedBuffer?) throws(DeviceError)
        -> TagCache.Tags
    {
        if let tags = tagCache.tags(header: run.header, run.generation) { return tags }
        let header: RecordHeader?
        do {
            guard let stored, let position = context.geometry.position(run.header),
                let clear = ClearRecordHeader(UnsafeRawBufferPointer(stored.bytes)), clear.position == position,
                clear.generation == run.generation, let key = try context.epochs.key(run.epochIndex)
            else { throw DeviceError.unreadable(block, .headerMismatch(run.header)) }
            let scratch = AlignedBuffer(byteCount: blockBytes)
            header = try RecordHeader.open(
                UnsafeRawBufferPointer(stored.bytes), clear, at: run.header, key, scratch: scratch.bytes)
        } catch let error as DeviceError {
            throw error
        } catch { throw .latched("opening a record header: \(error)") }
        guard let header else { throw .unreadable(block, .headerMismatch(run.header)) }
        let tags = TagCache.Tags(generation: run.generation, tags: header.entries.map(\.tag))
        tagCache.insert(header: run.header, tags)
        return tags
    }

    /// Opens blocks in place.
    private func open(
        _ run: Run, _ first: LogicalBlock, _ target: UnsafeMutableRawBufferPointer, _ tags: TagCache.Tags
    ) throws(DeviceError) {
        guard run.slot + run.count <= tags.tags.count else {
            throw .unreadable(first, .headerMismatch(run.header))
        }
        for index in 0..<run.count {
            try open(
                run, index, LogicalBlock(first.rawValue + UInt64(index)),
                UnsafeRawBufferPointer(rebasing: target[index * blockBytes..<(index + 1) * blockBytes]),
                into: target.baseAddress?.advanced(by: index * blockBytes), tags.tags[run.slot + index])
        }
    }

    /// Opens blocks of a record that is still in memory.
    private func open(
        _ run: Run, _ first: LogicalBlock, from record: RecordBuffer, into target: UnsafeMutableRawBufferPointer
    ) throws(DeviceError) {
        let tags = monitor.locked {
            (run.slot..<run.slot + run.count).map { record.entries[$0]?.tag ?? .zero }
        }
        for index in 0..<run.count {
            try open(
                run, index, LogicalBlock(first.rawValue + UInt64(index)),
                UnsafeRawBufferPointer(record.bytes(slot: run.slot + index)),
                into: target.baseAddress?.advanced(by: index * blockBytes), tags[index])
        }
    }

    private func open(
        _ run: Run, _ index: Int, _ block: LogicalBlock, _ sealed: UnsafeRawBufferPointer,
        into plain: UnsafeMutableRawPointer?, _ tag: Tag
    ) throws(DeviceError) {
        let physical = PhysicalBlock(run.block.rawValue + UInt64(index))
        let isAuthentic: Bool
        do {
            guard let plain, let key = try context.epochs.key(run.epochIndex) else {
                throw DeviceError.unreadable(block, .headerMismatch(run.header))
            }
            isAuthentic = try key.open(
                sealed, into: plain, at: physical, run.generation,
                as: BlockAssociation(.data, address: block.rawValue), tag: tag)
        } catch let error as DeviceError {
            throw error
        } catch { throw .latched("opening a block: \(error)") }
        guard isAuthentic else { throw .unreadable(block, .tagMismatch(physical)) }
    }
}
