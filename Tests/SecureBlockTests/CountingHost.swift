@testable import SecureBlock

/// Counts what is read, and fails reads larger than it is told to allow.
final class CountingHost: LentHost, @unchecked Sendable {
    struct Counts: Sendable {
        var reads = 0
        var bytes = 0
        var largest = Int.max
    }
    private let counts = Monitor(Counts())

    /// Reads of the host, each of one buffer.
    var reads: Int { counts.withLock { $0.reads } }
    var bytes: Int { counts.withLock { $0.bytes } }
    /// The most bytes that one read may ask for.
    var largest: Int {
        get { counts.withLock { $0.largest } }
        set { counts.change { $0.largest = newValue } }
    }

    override func read(_ batch: [HostRead]) throws(HostError) {
        let largest = counts.change { counts in
            counts.reads += batch.count
            counts.bytes += batch.reduce(0) { $0 + $1.buffer.count }
            return counts.largest
        }
        for read in batch where read.buffer.count > largest {
            throw .failed(call: "read", errno: 5, offset: read.offset)
        }
        try super.read(batch)
    }

    override func read(_ batch: [HostRead], each isFull: (Int) -> Void) throws(HostError) {
        try read(batch)
        for index in batch.indices { isFull(index) }
    }
}
