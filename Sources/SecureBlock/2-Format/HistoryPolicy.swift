/// How far back commits are to stay reachable: stored in the root.
///
///      0  seconds  u64   0: no time is asked for
///      8  bytes    u64   of log; 0: no amount is asked for
///     16  flags    u32   1: strict
///
/// A commit is kept while either asks for it. What is free in a log is its history, and the oldest goes first, so every
/// volume has some of it by the way; a policy says how much there should be. ``isStrict`` decides who gives way when
/// space runs short: the history, or writes of the client, which then fail with ``DeviceError/noSpace``. Commits,
/// checkpoints and opening never fail for history's sake.
public struct HistoryPolicy: Hashable, Sendable {
    /// Keep what was the newest commit so many seconds ago, and all after it.
    public var seconds: UInt64
    /// Keep what was the newest commit so many bytes of log ago, and all after it.
    public var bytes: UInt64
    /// History in the policy's range is kept even if the client has no space for it.
    public var isStrict: Bool

    public static let none = HistoryPolicy()

    public init(seconds: UInt64 = 0, bytes: UInt64 = 0, isStrict: Bool = false) {
        self.seconds = min(seconds, Self.maximumSeconds)
        self.bytes = bytes
        self.isStrict = isStrict
    }

    public var isNone: Bool { seconds == 0 && bytes == 0 }

    /// A thousand years; keeps sums of times from overflowing.
    static let maximumSeconds: UInt64 = 1000 * 366 * 86400

    init(parsing reader: inout ByteReader) throws(ParseError) {
        seconds = try reader.u64()
        bytes = try reader.u64()
        let flags = try reader.u32()
        guard seconds <= Self.maximumSeconds, flags <= 1 else {
            throw .unexpected(field: "history policy", position: reader.position)
        }
        isStrict = flags == 1
    }

    func write(to writer: inout ByteWriter) {
        writer.u64(seconds)
        writer.u64(bytes)
        writer.u32(isStrict ? 1 : 0)
    }
}
