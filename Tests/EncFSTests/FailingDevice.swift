import SecureBlock
import SimHost
import Synchronization

/// A device some of whose calls fail without anything having happened.
final class FailingDevice: BlockDevice {
    enum Call: Sendable {
        case read, write
        /// A write once it was accepted; nothing of it has happened then.
        case fill
        case discard, commit, wait
    }

    /// Which calls fail, and how.
    struct Way: Sendable, CustomStringConvertible {
        var call: Call
        /// `nil` for a block that cannot be read.
        var error: DeviceError?
        var times = 1
        var description: String {
            "\(call) \(error.map { "\($0)" } ?? "unreadable"), \(times == .max ? "from then on" : "\(times) times")"
        }
    }

    private struct State {
        var way: Way?
        var after = 0
        var calls = 0
    }
    private let device: SimBlockDevice
    private let state = Mutex(State())

    init(_ device: SimBlockDevice) { self.device = device }

    /// Makes calls fail, once `after` of their kind have succeeded.
    func fail(_ way: Way, after: Int) {
        state.withLock { $0 = State(way: way, after: after, calls: 0) }
    }

    /// Ends that; how many calls of the kind there were.
    func endFailing() -> Int {
        state.withLock { state in
            state.way = nil
            return state.calls
        }
    }

    private func pass(_ call: Call, _ block: LogicalBlock = LogicalBlock(0)) throws(DeviceError) {
        let failure = state.withLock { state -> DeviceError? in
            guard let way = state.way, way.call == call else { return nil }
            defer { state.calls += 1 }
            guard state.calls >= state.after, state.calls - state.after < way.times else { return nil }
            return way.error ?? .unreadable(block, .lost)
        }
        if let failure { throw failure }
    }

    var logicalBlockCount: UInt64 { device.logicalBlockCount }
    var isReadOnly: Bool { device.isReadOnly }
    var commitWanted: Bool { device.commitWanted }

    func read(_ first: LogicalBlock, into buffer: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        try pass(.read, first)
        try device.read(first, into: buffer)
    }

    func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        try pass(.write)
        try device.write(first, bytes)
    }

    func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer, accepted: () -> Void) throws(DeviceError) {
        try pass(.write)
        accepted()
        try pass(.fill)
        try device.write(first, bytes)
    }

    func discard(_ first: LogicalBlock, count: UInt64) throws(DeviceError) {
        try pass(.discard)
        try device.discard(first, count: count)
    }

    func commit() throws(DeviceError) -> any CommitTicket {
        try pass(.commit)
        return Ticket(device: self, ticket: try device.commit())
    }

    private struct Ticket: CommitTicket {
        let device: FailingDevice
        let ticket: any CommitTicket
        var sequence: SequenceNumber { ticket.sequence }

        func wait() throws(DeviceError) {
            try device.pass(.wait)
            try ticket.wait()
        }
    }
}
