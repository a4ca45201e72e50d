import Glibc

extension SecureDevice {
    /// A run of logical blocks that lie one after the other in one record.
    struct Run {
        /// Block within the caller's range.
        var start: Int
        var count: Int
        var block: PhysicalBlock
        var slot: Int
        var segment: UInt32
        var generation: Generation
        var epochIndex: UInt32
        /// No stream writes the segment any more, and all of it is on the host.
        var isSettled: Bool
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
            let ahead = readsStreamsAhead ? streamAhead.follow(first.rawValue, Int(count)) : nil
            let runs = try pinRuns(first, Int(count), zeroing: buffer)
            defer { unpin(runs) }
            if readsStreamsAhead { streamAhead.goOn(from: first.rawValue + count, Int(count), of: self) }
            try fetch(runs, first, into: buffer, ahead)
        } catch {
            if Sabotage.isOn(.zerosForErrors) { return }
            if !Sabotage.isOn(.keepReadBuffer) { memset(start, 0, buffer.count) }
            throw error
        }
    }

    /// Where all calls are to lead to the same host reads, nothing is read by another thread.
    private var readsStreamsAhead: Bool { options.maintenance == .background }

    /// Finds where the range is, and keeps what it needs from being reused. Zeros are filled in at once, where there is a
    /// buffer.
    func pinRuns(_ first: LogicalBlock, _ count: Int, zeroing buffer: UnsafeMutableRawBufferPointer?)
        throws(DeviceError) -> [Run]
    {
        var runs: [Run] = []
        var done = 0
        // A leaf of the map at a time: not all of a long range's need fit into memory at once.
        while done < count {
            let block = LogicalBlock(first.rawValue + UInt64(done))
            let part = min(count - done, MapEntry.perPage - Int(block.rawValue % UInt64(MapEntry.perPage)))
            do throws(DeviceError) { try lockWithMap(block, count: 1) } catch {
                unpin(runs)
                throw error
            }
            defer { monitor.unlock() }
            try pin(done..<done + part, of: first, into: &runs, zeroing: buffer)
            done += part
        }
        return runs
    }

    /// Finds where a part of a range is. Monitor held.
    private func pin(
        _ part: Range<Int>, of first: LogicalBlock, into runs: inout [Run],
        zeroing buffer: UnsafeMutableRawBufferPointer?
    ) throws(DeviceError) {
        for index in part {
            let entry = map.entry(LogicalBlock(first.rawValue + UInt64(index)))
            guard !entry.isLost else {
                release(runs)
                throw .unreadable(LogicalBlock(first.rawValue + UInt64(index)), .lost)
            }
            guard entry.isMapped else {
                if let buffer {
                    UnsafeMutableRawBufferPointer(
                        rebasing: buffer[index * blockBytes..<(index + 1) * blockBytes]
                    ).initializeMemory(as: UInt8.self, repeating: 0)
                }
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
                isSettled: table[volatile: position.segment].isSettled,
                record: recordInMemory(position, segment.generation))
            table.addReader(position.segment)
            run.record?.readers += 1
            runs.append(run)
        }
    }

    /// The record that holds `position`, while the host may not have it yet, or has it but lately. Monitor held.
    private func recordInMemory(_ position: LogPosition, _ generation: Generation) -> RecordBuffer? {
        if table[volatile: position.segment].recordsInMemory > 0 {
            for stream in log.streams {
                if let open = stream.open, open.contains(position) { return open }
                if let queued = stream.queue.first(where: { $0.contains(position) }) { return queued }
            }
            if let record = log.inFlight.first(where: { $0.contains(position) }) { return record }
        }
        guard options.recentRecords > 0 else { return nil }
        return log.retired.last { $0.generation == generation && $0.contains(position) }
    }

    func unpin(_ runs: [Run]) {
        monitor.locked { release(runs) }
    }

    private func release(_ runs: [Run]) {
        for run in runs {
            table.removeReader(run.segment)
            run.record?.readers -= 1
        }
    }
}
