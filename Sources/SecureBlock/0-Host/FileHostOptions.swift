/// How a ``FileBlockHost`` goes about its file.
public struct FileHostOptions: Sendable, Hashable {
    /// Open for reading only, under a shared lock.
    public var readOnly: Bool
    /// Go past the page cache (`O_DIRECT`) where the file system can.
    public var direct: Bool
    /// Use io_uring where the kernel and its sandbox allow it.
    public var useRing: Bool

    /// Let small reads of data go through the page cache though all else goes past it. It holds ciphertext, in memory that the
    /// kernel takes back when it wants it.
    public var cachesReads: Bool

    public init(readOnly: Bool = false, direct: Bool = true, useRing: Bool = true, cachesReads: Bool = true) {
        self.readOnly = readOnly
        self.direct = direct
        self.useRing = useRing
        self.cachesReads = cachesReads
    }
}
