/// How a ``FileBlockHost`` goes about its file.
public struct FileHostOptions: Sendable, Hashable {
    /// Open for reading only, under a shared lock.
    public var readOnly: Bool
    /// Go past the page cache (`O_DIRECT`) where the file system can.
    public var direct: Bool
    /// Use io_uring where the kernel and its sandbox allow it.
    public var useRing: Bool

    public init(readOnly: Bool = false, direct: Bool = true, useRing: Bool = true) {
        self.readOnly = readOnly
        self.direct = direct
        self.useRing = useRing
    }
}
