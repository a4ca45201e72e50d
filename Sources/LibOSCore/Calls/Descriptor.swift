/// A number that stands for an open file of one ``FileContext``.
public struct Descriptor: Hashable, Sendable, RawRepresentable, CustomStringConvertible {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Where relative paths start when no descriptor is given, `AT_FDCWD`.
    public static let currentDirectory = Descriptor(rawValue: -100)

    public var description: String { self == .currentDirectory ? "AT_FDCWD" : "\(rawValue)" }
}

/// Flags of `open(2)`, with the numbers of Linux on x86-64. The access mode is ``readOnly`` unless another is given.
public struct OpenOptions: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let readOnly: OpenOptions = []
    public static let writeOnly = OpenOptions(rawValue: 0o1)
    public static let readWrite = OpenOptions(rawValue: 0o2)
    public static let create = OpenOptions(rawValue: 0o100)
    public static let exclusive = OpenOptions(rawValue: 0o200)
    public static let truncate = OpenOptions(rawValue: 0o1000)
    public static let append = OpenOptions(rawValue: 0o2000)
    /// Every write is durable on return, its times perhaps not (`O_DSYNC`).
    public static let dataSync = OpenOptions(rawValue: 0o10000)
    public static let directory = OpenOptions(rawValue: 0o200000)
    public static let noFollow = OpenOptions(rawValue: 0o400000)
    public static let noAccessTime = OpenOptions(rawValue: 0o1000000)
    /// Every write is durable on return (`O_SYNC`).
    public static let sync = OpenOptions(rawValue: 0o4010000)
    /// Only name the file: neither read nor write (`O_PATH`).
    public static let path = OpenOptions(rawValue: 0o10000000)
    /// A regular file without a name in the directory given (`O_TMPFILE`).
    public static let temporary = OpenOptions(rawValue: 0o20200000)

    private var accessMode: UInt32 { rawValue & 3 }
    var isValid: Bool { accessMode != 3 }
    var reads: Bool { accessMode != 1 && !contains(.path) }
    var writes: Bool { accessMode != 0 && !contains(.path) }
}
