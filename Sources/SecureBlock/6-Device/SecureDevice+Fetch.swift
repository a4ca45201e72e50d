extension SecureDevice {
    /// Reads data and missing headers as one batch of the host, and opens each part while the rest is on its way.
    /// - Parameter ahead: what was read for this range before it was asked for.
    func fetch(
        _ runs: [Run], _ first: LogicalBlock, into buffer: UnsafeMutableRawBufferPointer,
        _ ahead: StreamAhead.Piece?
    ) throws(DeviceError) {
        let ahead = ahead.flatMap { $0.wait() ? $0 : nil }
        let isLarge = ahead == nil && buffer.count >= Fetch.stagedBlocks * blockBytes
        let staging = isLarge ? readBuffers.take() : nil
        // The host is done with it when it has returned.
        defer { if let staging { readBuffers.give(staging) } }
        var fetch = Fetch(self, first, buffer, staging, ahead)
        for run in runs { fetch.add(run) }
        guard fetch.isSmall, !options.readsPastCache, context.host.cachesReads else {
            return try fetch.run(cached: false)
        }
        do throws(DeviceError) { try fetch.run(cached: true) } catch {
            // Only the host itself says whether this is damage, or a cache that did not follow a write.
            guard case .unreadable = error else { throw error }
            fetch = Fetch(self, first, buffer, nil, nil)
            for run in runs { fetch.add(run) }
            try fetch.run(cached: false)
        }
    }
}

/// One read of the device on its way: what comes from the host, in which order to open it, and the first failure.
///
/// Long runs are cut into parts, so that the host works on several at once and the cipher on one meanwhile. A part whose
/// tags are unknown waits for its record's header.
struct Fetch {
    /// 128 KiB: long enough for a disk to stream, short enough to open one while others come.
    static let partBlocks = 32
    /// Parts of at least so many blocks come into a buffer of ours and are opened from there, which is faster than opening in
    /// place, and the disk needs less time for large pages. There is room for the first 2 MiB of such parts.
    static let stagedBlocks = 8

    private enum Piece {
        case header(PhysicalBlock)
        case part(Part)
    }

    /// Blocks of a run that come with one read of the host.
    private struct Part {
        let run: Int
        let start: Int
        let count: Int
        /// Where they come.
        let buffer: UnsafeMutableRawBufferPointer
    }

    /// A record header that no cache has.
    private struct Header {
        let stored = AlignedBuffer(byteCount: blockBytes)
        let run: Int
        var waiting: [Part] = []
    }

    private let device: SecureDevice
    private let first: LogicalBlock
    private let buffer: UnsafeMutableRawBufferPointer
    private let staging: AlignedBuffer?
    private let ahead: StreamAhead.Piece?
    /// Parts that have come before.
    private var present: [Part] = []
    private var stagedBytes = 0
    private var runs: [SecureDevice.Run] = []
    private var tags: [TagCache.Tags?] = []
    private var headers: [PhysicalBlock: Header] = [:]
    private var batch: [HostRead] = []
    private var pieces: [Piece] = []
    private var failure: (block: LogicalBlock, error: DeviceError)?

    init(
        _ device: SecureDevice, _ first: LogicalBlock, _ buffer: UnsafeMutableRawBufferPointer,
        _ staging: AlignedBuffer?, _ ahead: StreamAhead.Piece?
    ) {
        self.device = device
        self.first = first
        self.buffer = buffer
        self.staging = staging
        self.ahead = ahead
    }

    private func target(_ run: SecureDevice.Run, _ start: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        let from = (run.start + start) * blockBytes
        return UnsafeMutableRawBufferPointer(rebasing: buffer[from..<from + count * blockBytes])
    }

    private func logical(_ run: SecureDevice.Run, _ index: Int) -> LogicalBlock {
        LogicalBlock(first.rawValue + UInt64(run.start + index))
    }

    /// Takes up a run: what is still in memory is opened at the end, the rest becomes reads.
    mutating func add(_ run: SecureDevice.Run) {
        let index = runs.count
        runs.append(run)
        guard run.record == nil else {
            tags.append(nil)
            return
        }
        let known = device.tagCache.tags(header: run.header, run.generation)
        tags.append(known)
        if known == nil, headers[run.header] == nil {
            let header = Header(run: index)
            headers[run.header] = header
            batch.append(HostRead(offset: device.context.offset(run.header), buffer: header.stored.bytes))
            pieces.append(.header(run.header))
        }
        for start in stride(from: 0, to: run.count, by: Self.partBlocks) {
            let count = min(Self.partBlocks, run.count - start)
            let block = PhysicalBlock(run.block.rawValue + UInt64(start))
            if let there = ahead?.bytes(run.start + start, count, block, run.generation) {
                present.append(Part(run: index, start: start, count: count, buffer: there))
                continue
            }
            let part = Part(
                run: index, start: start, count: count, buffer: stage(count) ?? target(run, start, count))
            batch.append(HostRead(offset: device.context.offset(block), buffer: part.buffer))
            pieces.append(.part(part))
        }
    }

    /// Room for a part that is long enough, while there is any.
    private mutating func stage(_ count: Int) -> UnsafeMutableRawBufferPointer? {
        guard let staging, count >= Self.stagedBlocks, stagedBytes + count * blockBytes <= staging.bytes.count
        else {
            return nil
        }
        defer { stagedBytes += count * blockBytes }
        return staging.slice(stagedBytes, count * blockBytes)
    }

    /// Whether reading ahead and the host's cache are for it: large reads fill the host's queue by themselves.
    var isSmall: Bool { runs.reduce(0) { $0 + $1.count } <= ReadAhead.smallBlocks }

    /// - Parameter cached: from the host's cache, where it has one.
    /// - Throws: the failure of the first block, in the order of the range, that has one.
    mutating func run(cached: Bool) throws(DeviceError) {
        if isSmall {
            takeReadAhead()
            if readAhead() { takeReadAhead() }
        }
        if !batch.isEmpty {
            do throws(HostError) {
                if cached {
                    try device.context.host.readCached(batch) { arrived($0) }
                } else {
                    try device.context.host.read(batch) { arrived($0) }
                }
            } catch {
                note(logical(runs[0], 0), .unreadable(logical(runs[0], 0), .host(error)))
            }
        }
        for part in present {
            // Else its header has failed, and that is known.
            if let known = tags[part.run] { open(part, known) }
        }
        for run in runs where run.record != nil { openFromMemory(run) }
        if let failure { throw failure.error }
    }

    /// Where a piece of the batch lies, and in which use of its segment.
    private func place(_ index: Int) -> (block: PhysicalBlock, generation: Generation) {
        switch pieces[index] {
        case .header(let block):
            return (block, runs[headers[block]?.run ?? 0].generation)
        case .part(let part):
            let run = runs[part.run]
            return (PhysicalBlock(run.block.rawValue + UInt64(part.start)), run.generation)
        }
    }

    /// Takes what was read ahead out of the batch.
    private mutating func takeReadAhead() {
        let taken = batch.indices.filter { index in
            let (block, generation) = place(index)
            return device.readAhead.copy(block, generation, into: batch[index].buffer)
        }
        guard !taken.isEmpty else { return }
        for index in taken { arrived(index) }
        for index in taken.reversed() {
            batch.remove(at: index)
            pieces.remove(at: index)
        }
    }

    /// Reads a window from the batch's first block on, if this read goes on where others ended.
    /// - Returns: whether there is a new window; one that the host does not give is no failure of this read.
    private func readAhead() -> Bool {
        guard
            let index = pieces.indices.first(where: { index in
                if case .part(let part) = pieces[index] { runs[part.run].isSettled } else { false }
            })
        else { return false }
        let (first, generation) = place(index)
        let geometry = device.context.geometry
        guard let position = geometry.position(first) else { return false }
        let count = min(ReadAhead.windowBlocks, geometry.segmentBlocks - Int(position.block))
        guard device.readAhead.follow(first, count: batch[index].buffer.count / blockBytes, window: count) else {
            return false
        }
        let window = device.readAhead.takeBuffer()
        do throws(HostError) {
            try device.context.host.read(
                at: device.context.offset(first), into: window.slice(0, count * blockBytes))
        } catch {
            device.readAhead.giveBack(window)
            return false
        }
        device.readAhead.insert(first, count: count, generation, window)
        return true
    }

    private mutating func note(_ block: LogicalBlock, _ error: DeviceError) {
        if let failure, failure.block <= block { return }
        failure = (block, error)
    }

    private mutating func arrived(_ index: Int) {
        switch pieces[index] {
        case .part(let part):
            if let known = tags[part.run] {
                open(part, known)
            } else {
                headers[runs[part.run].header]?.waiting.append(part)
            }
        case .header(let place):
            guard let header = headers[place] else { return }
            let known: TagCache.Tags
            do throws(DeviceError) {
                known = try device.openHeader(
                    runs[header.run], logical(runs[header.run], 0), UnsafeRawBufferPointer(header.stored.bytes))
            } catch { return note(logical(runs[header.run], 0), error) }
            for run in runs.indices where runs[run].record == nil && runs[run].header == place { tags[run] = known }
            for part in header.waiting { open(part, known) }
        }
    }

    /// Opens blocks of a run from where they came, in place or not, to where they are wanted.
    private mutating func open(_ part: Part, _ known: TagCache.Tags) {
        let run = runs[part.run], first = logical(run, part.start)
        guard run.slot + run.count <= known.tags.count else {
            return note(first, .unreadable(first, .headerMismatch(run.header)))
        }
        let sealed = UnsafeRawBufferPointer(part.buffer)
        for block in 0..<part.count {
            let bytes = UnsafeRawBufferPointer(rebasing: sealed[block * blockBytes..<(block + 1) * blockBytes])
            openBlock(run, part.start + block, bytes, known.tags[run.slot + part.start + block])
        }
    }

    /// Opens blocks of a record that the host may not have yet.
    private mutating func openFromMemory(_ run: SecureDevice.Run) {
        guard let record = run.record else { return }
        let tags = device.monitor.locked {
            (run.slot..<run.slot + run.count).map { record.entries[$0]?.tag ?? .zero }
        }
        for index in 0..<run.count {
            openBlock(run, index, UnsafeRawBufferPointer(record.bytes(slot: run.slot + index)), tags[index])
        }
    }

    private mutating func openBlock(
        _ run: SecureDevice.Run, _ index: Int, _ sealed: UnsafeRawBufferPointer, _ tag: Tag
    ) {
        let block = logical(run, index)
        do throws(DeviceError) {
            try device.open(run, index, block, sealed, into: target(run, index, 1).baseAddress, tag)
        } catch { note(block, error) }
    }
}

extension SecureDevice {
    /// Verifies a record's header and keeps its tags.
    fileprivate func openHeader(_ run: Run, _ block: LogicalBlock, _ stored: UnsafeRawBufferPointer)
        throws(DeviceError) -> TagCache.Tags
    {
        let header: RecordHeader?
        do {
            guard let position = context.geometry.position(run.header),
                let clear = ClearRecordHeader(stored), clear.position == position,
                clear.generation == run.generation, let key = try context.epochs.key(run.epochIndex)
            else { throw DeviceError.unreadable(block, .headerMismatch(run.header)) }
            let scratch = AlignedBuffer(byteCount: blockBytes)
            header = try RecordHeader.open(stored, clear, at: run.header, key, scratch: scratch.bytes)
        } catch let error as DeviceError {
            throw error
        } catch { throw .latched("opening a record header: \(error)") }
        guard let header else { throw .unreadable(block, .headerMismatch(run.header)) }
        let tags = TagCache.Tags(generation: run.generation, tags: header.entries.map(\.tag))
        tagCache.insert(header: run.header, tags)
        return tags
    }

    fileprivate func open(
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
