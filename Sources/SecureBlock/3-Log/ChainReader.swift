/// Follows the chain of headers from a root: the roll-forward of recovery, of `replay` and of `fsck`.
///
/// The successor of record n is the header with sequence n + 1 that names n's tag, carries the root's epoch and its own
/// position, and stands at its stream's next position or at the start of the stream's announced segment (I3). Two of
/// them: refused. The chain never crosses an epoch. A read error is an error, not an end.
final class ChainReader {
    private struct Position {
        var at: LogPosition
        var generation: Generation
        var next: SegmentReference
    }

    private let context: VolumeContext
    private let key: SealingKey
    private let epoch: Tag
    private var streams: [Position]
    private var windows: [UInt32: SegmentWindow] = [:]
    private var windowOrder: [UInt32] = []
    private let scratch = AlignedBuffer(byteCount: blockBytes)
    /// The last record passed.
    private(set) var last: Root.Commit

    init(_ context: VolumeContext, from root: Root) throws(VolumeError) {
        self.context = context
        epoch = root.epoch
        last = root.commit
        do {
            guard let found = try context.epochs.key(root.epochIndex) else {
                throw VolumeError.corrupt("root \(root.number) names an epoch that its table does not have")
            }
            key = found
        } catch let error as VolumeError {
            throw error
        } catch { throw .crypto("\(error)") }
        streams = root.streams.map { Position(at: $0.position, generation: $0.generation, next: $0.next) }
        for stream in streams {
            guard stream.at.segment < context.geometry.segmentCount,
                Int(stream.at.block) <= context.geometry.segmentBlocks, context.geometry.contains(stream.next)
            else { throw .corrupt("root \(root.number) names a stream position outside the volume") }
        }
    }

    private func window(_ segment: UInt32) -> SegmentWindow {
        if let window = windows[segment] { return window }
        if windowOrder.count >= 8 { windows[windowOrder.removeFirst()] = nil }
        let window = SegmentWindow(context, segment: segment)
        windows[segment] = window
        windowOrder.append(segment)
        return window
    }

    /// The next record, `nil` at the chain's end.
    /// - Throws: ``VolumeError/ambiguousChain(_:)``, ``VolumeError/host(_:)``, ``VolumeError/corrupt(_:)``.
    func next() throws(VolumeError) -> RecordHeader? {
        var found: RecordHeader?
        for stream in StreamID.allCases {
            let position = streams[Int(stream.rawValue)]
            var candidates: [(LogPosition, Generation)] = []
            if Int(position.at.block) < context.geometry.segmentBlocks {
                candidates.append((position.at, position.generation))
            }
            if !Sabotage.isOn(.ignoreNextSegment) {
                candidates.append((LogPosition(segment: position.next.segment, block: 0), position.next.generation))
            }
            for (place, generation) in candidates {
                guard let header = try read(place, generation, stream) else { continue }
                guard found == nil else { throw .ambiguousChain(header.sequence) }
                found = header
            }
        }
        guard let header = found else { return nil }
        guard context.geometry.contains(header.next) else {
            throw .corrupt("record \(header.sequence.rawValue) announces a segment outside the volume")
        }
        streams[Int(header.stream.rawValue)] = Position(
            at: LogPosition(segment: header.position.segment, block: header.end), generation: header.generation,
            next: header.next)
        last = Root.Commit(sequence: header.sequence, tag: header.tag)
        return header
    }

    private func read(_ place: LogPosition, _ generation: Generation, _ stream: StreamID) throws(VolumeError)
        -> RecordHeader?
    {
        let block: UnsafeRawBufferPointer
        do { block = try window(place.segment).block(Int(place.block)) } catch {
            if Sabotage.isOn(.readErrorEndsLog) { return nil }
            // A root of before a shrink may announce a segment that was never entered and is there no more.
            if context.isEarlier, case .beyondEnd = error { return nil }
            throw .host(error)
        }
        guard let clear = ClearRecordHeader(block), clear.sequence.rawValue == last.sequence.rawValue &+ 1,
            clear.previousTag == last.tag, clear.epoch == epoch, clear.position == place,
            clear.generation == generation,
            Int(place.block) + 1 + clear.dataBlocks <= context.geometry.segmentBlocks
        else { return nil }
        do {
            let header = try RecordHeader.open(
                block, clear, at: context.geometry.physical(place), key, scratch: scratch.bytes)
            guard let header, header.stream == stream else { return nil }
            return header
        } catch { throw .crypto("\(error)") }
    }

    /// Whether every data block of a record verifies.
    func verifyData(of header: RecordHeader) throws(VolumeError) -> Bool {
        for (slot, entry) in header.entries.enumerated() where slot < header.dataBlocks {
            let place = LogPosition(
                segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))
            do {
                let block = try window(place.segment).block(Int(place.block))
                guard let output = scratch.bytes.baseAddress else { preconditionFailure("scratch is a block") }
                guard
                    try key.open(
                        block, into: output, at: context.geometry.physical(place), header.generation,
                        as: entry.association, tag: entry.tag)
                else { return false }
            } catch let error as HostError {
                throw .host(error)
            } catch { throw .crypto("\(error)") }
        }
        return true
    }
}
