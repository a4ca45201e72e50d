/// An anchor that lasts as long as the process: for tests, and for volumes that live no longer.
public final class MemoryAnchor: Anchor {
    private let value: Monitor<AnchorValue?>

    public init(_ value: AnchorValue? = nil) {
        self.value = Monitor(value)
    }

    public var description: String { "memory" }

    public func load() throws(AnchorError) -> AnchorValue? {
        value.withLock { $0 }
    }

    public func compareAndSwap(expected: AnchorValue?, new: AnchorValue) throws(AnchorError) {
        try value.withLock { value throws(AnchorError) in
            guard value == expected else { throw .conflict(found: value) }
            value = new
        }
    }
}
