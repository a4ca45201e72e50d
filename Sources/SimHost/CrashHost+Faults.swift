import SecureBlock

/// A kind of host call that can be made to fail.
public enum SimCall: Hashable, Sendable {
    case read, write, flush, allocate, punch
}

/// A failure still to come.
struct SimFault: Sendable {
    let call: SimCall
    /// How many calls of the kind still succeed.
    var after: Int
    /// How many fail then.
    var times: Int
    let error: HostError
}

extension CrashHost {
    /// Makes later calls fail.
    ///
    /// A failed write may still reach the disk, in part or whole, when images are made. After a failed flush, the
    /// writes it should have covered are not covered by later flushes either, as with Linux's page cache.
    /// - Parameters:
    ///   - after: how many calls of the kind succeed first.
    ///   - times: how many fail then.
    public func fail(_ call: SimCall, after: Int = 0, times: Int = 1, with error: HostError) {
        state.withLock { $0.faults.append(SimFault(call: call, after: after, times: times, error: error)) }
    }

    /// Makes every read that touches `range`, in bytes, fail.
    public func failReads(in range: Range<UInt64>, with error: HostError) {
        state.withLock { $0.unreadable.append((range, error)) }
    }

    /// How many of the failures that were asked for are still to come.
    public var failuresLeft: Int { state.withLock { $0.faults.reduce(0) { $0 + $1.times } } }

    /// Ends all failures asked for.
    public func clearFaults() {
        state.withLock { state in
            state.faults = []
            state.unreadable = []
        }
    }

    /// Flips one stored bit now, as a decaying or hostile disk does; images have it flipped from here on.
    public func flipBit(_ bit: Int, atByte offset: UInt64) {
        state.withLock { state in
            guard let position = Int(exactly: offset), position < state.current.byteCount else { return }
            var byte: [UInt8] = [0]
            byte.withMutableRawBytes { state.current.read(position, into: $0) }
            byte[0] ^= 1 << UInt8(bit & 7)
            state.current.write(position, byte)
            let write = SimWrite(
                offset: offset, bytes: byte, durable: true, failed: false, completedAt: state.events.count)
            state.events.append(.write(write))
        }
    }
}

extension CrashHost.State {
    /// Counts a call, and throws if it is one that is to fail.
    mutating func takeFault(_ call: SimCall) throws(HostError) {
        for index in faults.indices where faults[index].call == call {
            if faults[index].after > 0 {
                faults[index].after -= 1
            } else if faults[index].times > 0 {
                faults[index].times -= 1
                throw faults[index].error
            }
        }
    }
}
