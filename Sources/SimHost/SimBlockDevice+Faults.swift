import SecureBlock

extension SimBlockDevice {
    /// A device as it opens after power is lost now: at the last commit somebody waited for.
    public func crash() -> SimBlockDevice {
        let durable = state.withLock { $0.durable }
        return opened(at: durable)
    }

    /// A device as it may also open: at an ordered commit not older than the last durable one (or, to look back, older).
    /// - Returns: `nil` for a commit that was never ordered or is not kept.
    public func crash(at commit: SequenceNumber) -> SimBlockDevice? {
        guard commits.contains(commit) || commit.rawValue == 0 else { return nil }
        return opened(at: commit.rawValue)
    }

    /// All ordered commits that are kept, oldest first.
    public var commits: [SequenceNumber] {
        state.withLock { state in state.commits.map { SequenceNumber($0.sequence) } }
    }

    /// The last commit somebody waited for; 0 before the first.
    public var durableCommit: SequenceNumber { SequenceNumber(state.withLock { $0.durable }) }

    public var counters: Counters { state.withLock { $0.counters } }

    /// Blocks that hold data now.
    public var liveBlocks: Int { state.withLock { $0.liveBlocks } }

    /// Makes reads of `block` fail with `unreadable` until ``heal(_:)``.
    public func damage(_ block: LogicalBlock) {
        _ = state.withLock { $0.unreadable.insert(block.rawValue) }
    }

    public func heal(_ block: LogicalBlock) {
        _ = state.withLock { $0.unreadable.remove(block.rawValue) }
    }

    /// Sets what fails from now on; `nil` for nothing.
    public func setFault(_ fault: Fault?) {
        state.withLock { $0.fault = fault }
    }

    /// Makes the device larger or smaller, at once and for good.
    /// - Throws: `outOfRange` while blocks behind the new end hold data.
    public func resize(toBlocks blocks: UInt64) throws(DeviceError) {
        let inTheWay = state.withLock { state -> UInt64? in
            if let first = state.image.liveBlocks(in: blocks..<max(blocks, state.blocks)).first { return first }
            state.blocks = blocks
            return nil
        }
        if let inTheWay { throw .outOfRange(LogicalBlock(inTheWay), count: 1) }
    }

    /// Ends writing, as a failed flush would.
    public func latch(_ reason: String) {
        state.withLock { $0.latch = reason }
    }

    func opened(at sequence: UInt64) -> SimBlockDevice {
        let image = state.withLock { state in
            state.commits.last { $0.sequence == sequence }?.image ?? SimBlockImage()
        }
        return SimBlockDevice(blocks: logicalBlockCount, options, image: image, sequence: sequence)
    }

    /// What a write or discard fails with before it does anything.
    func refusal(_ state: inout sending State) -> DeviceError? {
        if options.isReadOnly { return .readOnly }
        if let latch = state.latch { return .latched(latch) }
        switch state.fault {
        case .writesAfter(let count, let error):
            if count == 0 { return error }
            state.fault = .writesAfter(count - 1, error)
        case .oneWriteAfter(let count, let error):
            if count == 0 {
                state.fault = nil
                return error
            }
            state.fault = .oneWriteAfter(count - 1, error)
        case .commits, nil: break
        }
        return nil
    }

    func blockCount(_ first: LogicalBlock, byteCount: Int) throws(DeviceError) -> UInt64 {
        guard byteCount % blockBytes == 0 else { throw .misaligned(byteCount: byteCount) }
        let count = UInt64(byteCount / blockBytes)
        try check(first, count)
        return count
    }

    func check(_ first: LogicalBlock, _ count: UInt64) throws(DeviceError) {
        guard first.rawValue <= logicalBlockCount, count <= logicalBlockCount - first.rawValue else {
            throw .outOfRange(first, count: count)
        }
    }
}
