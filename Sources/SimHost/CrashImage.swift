import SecureBlock

/// What a crash left: a store, and the anchor as it was.
public struct CrashImage: Sendable, CustomStringConvertible {
    /// The event during which the machine stopped; ``CrashHost/eventCount`` for after the last.
    public let event: Int
    /// What the anchor held.
    public let anchor: AnchorValue?
    /// The last ``CrashHost/mark(_:)`` before.
    public let lastMark: UInt64?
    /// Which of the unflushed writes survived, by event index, in words.
    public let description: String
    package let contents: SparseBytes

    /// A fresh host with these contents.
    public func makeHost() -> MemoryBlockHost {
        MemoryBlockHost(contents: contents)
    }

    /// A fresh anchor with this value.
    public func makeAnchor() -> MemoryAnchor {
        MemoryAnchor(anchor)
    }

    /// A fresh host with these contents that can crash again; a ``SimAnchor`` on it starts with ``anchor``.
    public func makeCrashHost() -> CrashHost {
        CrashHost(contents: contents, anchor: anchor)
    }
}
