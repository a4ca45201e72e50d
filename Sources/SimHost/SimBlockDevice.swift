import SecureBlock
import Synchronization

/// An in-memory ``BlockDevice`` for testing what stands on one: it keeps every commit, opens again at any of them,
/// and fails on request. Deterministic; nothing in it depends on time.
///
///     let device = SimBlockDevice(blocks: 4096)
///     …                                // write, commit
///     let after = device.crash()       // what opens after power is lost now
///
/// A commit becomes durable when somebody waits for its ticket, so a test sees every state in between.
public final class SimBlockDevice: BlockDevice {
    /// What to build.
    public struct Options: Sendable {
        /// Live blocks and blocks held for the last commit together; `nil` for no limit.
        public var physicalBlocks: Int?
        /// Overwritten and uncommitted blocks from which ``BlockDevice/commitWanted`` is true; `nil` for never.
        public var commitWantedAt: Int?
        /// Overwritten and uncommitted blocks at which writes fail with `commitRequired`; `nil` for never.
        public var commitRequiredAt: Int?
        /// Keep every ordered commit for ``SimBlockDevice/crash(at:)``; otherwise only what a crash can show.
        public var keepsHistory = true
        public var isReadOnly = false
        public init() {}
    }

    /// Which calls fail, counted from the moment this is set.
    public enum Fault: Sendable {
        /// The write or discard after this many more succeeded ones, and all after it.
        case writesAfter(Int, DeviceError)
        /// Only the write after this many more.
        case oneWriteAfter(Int, DeviceError)
        /// Waiting for any commit from now on.
        case commits(String)
    }

    /// The size now; see ``resize(toBlocks:)``.
    public var logicalBlockCount: UInt64 { state.withLock { $0.blocks } }
    let options: Options
    let state: Mutex<State>

    struct State: Sendable {
        var blocks: UInt64
        var image = SimBlockImage()
        var committed = SimBlockImage()
        var commits: [(sequence: UInt64, image: SimBlockImage)] = []
        var sequence: UInt64 = 0
        var durable: UInt64 = 0
        var liveBlocks = 0
        /// Blocks of the last ordered commit that were overwritten or discarded since.
        var held: Set<UInt64> = []
        var unreadable: Set<UInt64> = []
        var latch: String?
        var fault: Fault?
        var counters = Counters()
    }

    /// What was asked of the device so far.
    public struct Counters: Sendable {
        public var reads = 0
        public var blocksRead = 0
        public var writes = 0
        public var blocksWritten = 0
        public var discards = 0
        public var blocksDiscarded = 0
        public var commits = 0
    }

    public init(blocks: UInt64, _ options: Options = Options()) {
        self.options = options
        state = Mutex(State(blocks: blocks))
    }

    init(blocks: UInt64, _ options: Options, image: SimBlockImage, sequence: UInt64) {
        self.options = options
        var first = State(blocks: blocks)
        first.image = image
        first.committed = image
        first.sequence = sequence
        first.durable = sequence
        first.liveBlocks = image.liveBlocks
        first.commits = [(sequence, image)]
        state = Mutex(first)
    }

    public var isReadOnly: Bool { options.isReadOnly }

    public var commitWanted: Bool {
        guard let limit = options.commitWantedAt else { return false }
        return state.withLock { $0.held.count >= limit }
    }

    public func read(_ first: LogicalBlock, into buffer: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        let count = try blockCount(first, byteCount: buffer.count)
        let bad = state.withLock { state -> UInt64? in
            state.counters.reads += 1
            state.counters.blocksRead += Int(count)
            for index in 0..<count {
                let block = first.rawValue + index
                if state.unreadable.contains(block) { return block }
                let target = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[Int(index) * blockBytes..<(Int(index) + 1) * blockBytes])
                if let bytes = state.image[block] {
                    target.copyBytes(from: bytes)
                } else {
                    target.initializeMemory(as: UInt8.self, repeating: 0)
                }
            }
            return nil
        }
        if let bad {
            buffer.initializeMemory(as: UInt8.self, repeating: 0)
            throw .unreadable(LogicalBlock(bad), .tagMismatch(PhysicalBlock(bad)))
        }
    }

    public func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        let count = try blockCount(first, byteCount: bytes.count)
        let failure = state.withLock { state -> DeviceError? in
            if let refusal = refusal(&state) { return refusal }
            for index in 0..<count {
                let block = first.rawValue + index
                let isHeld = state.committed[block] != nil && !state.held.contains(block)
                if isHeld, let limit = options.commitRequiredAt, state.held.count >= limit {
                    return .commitRequired
                }
                let isNew = state.image[block] == nil
                if let limit = options.physicalBlocks, isHeld || isNew,
                    state.liveBlocks + state.held.count + 1 > limit
                {
                    return state.held.isEmpty ? .noSpace : .commitRequired
                }
                if isHeld { state.held.insert(block) }
                if isNew { state.liveBlocks += 1 }
                let start = Int(index) * blockBytes
                state.image[block] = Array(bytes[start..<start + blockBytes])
            }
            state.counters.writes += 1
            state.counters.blocksWritten += Int(count)
            return nil
        }
        if let failure { throw failure }
    }

    public func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer, accepted: () -> Void)
        throws(DeviceError)
    {
        try write(first, bytes)
        accepted()
    }

    public func discard(_ first: LogicalBlock, count: UInt64) throws(DeviceError) {
        try check(first, count)
        let failure = state.withLock { state -> DeviceError? in
            if let refusal = refusal(&state) { return refusal }
            state.counters.discards += 1
            state.counters.blocksDiscarded += Int(count)
            for block in state.image.liveBlocks(in: first.rawValue..<first.rawValue + count) {
                state.image[block] = nil
                state.liveBlocks -= 1
                if state.committed[block] != nil { state.held.insert(block) }
            }
            return nil
        }
        if let failure { throw failure }
    }

    public func commit() throws(DeviceError) -> any CommitTicket {
        if options.isReadOnly { throw .readOnly }
        let outcome = state.withLock { state -> Result<UInt64, DeviceError> in
            if let latch = state.latch { return .failure(.latched(latch)) }
            state.sequence += 1
            state.counters.commits += 1
            state.committed = state.image
            state.held.removeAll()
            if !options.keepsHistory { state.commits.removeAll { $0.sequence < state.durable } }
            state.commits.append((state.sequence, state.image))
            return .success(state.sequence)
        }
        return Ticket(device: self, sequence: SequenceNumber(try outcome.get()))
    }

    struct Ticket: CommitTicket {
        let device: SimBlockDevice
        let sequence: SequenceNumber

        func wait() throws(DeviceError) {
            let failure = device.state.withLock { state -> DeviceError? in
                if state.durable >= sequence.rawValue { return nil }
                if case .commits(let reason) = state.fault { state.latch = reason }
                if let latch = state.latch { return .latched(latch) }
                state.durable = sequence.rawValue
                return nil
            }
            if let failure { throw failure }
        }
    }
}
