/// Flags of an open that matter to a filesystem.
public struct OpenFlags: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = OpenFlags(rawValue: 1)
    public static let write = OpenFlags(rawValue: 2)
    public static let truncate = OpenFlags(rawValue: 4)
    public static let append = OpenFlags(rawValue: 8)
    /// Leave access times alone (`O_NOATIME`).
    public static let noAccessTime = OpenFlags(rawValue: 16)
    public static let directory = OpenFlags(rawValue: 32)
}

/// Where a write goes.
public enum WritePosition: Sendable {
    case offset(UInt64)
    /// At the end of file, found and extended in one step (`O_APPEND`).
    case end
}

/// Flags of one write.
public struct WriteFlags: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Drop set-user-ID, set-group-ID and file capabilities: the writer is unprivileged.
    public static let clearsPrivileges = WriteFlags(rawValue: 1)
}

/// What a write did.
public struct Written: Sendable {
    /// Bytes written, never 0 for a non-empty request.
    public var count: Int
    /// The offset just past them.
    public var end: UInt64
    public init(count: Int, end: UInt64) {
        self.count = count
        self.end = end
    }
}

/// Flags of `renameat2(2)`.
public struct RenameFlags: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let noReplace = RenameFlags(rawValue: 1)
    public static let exchange = RenameFlags(rawValue: 2)
}

/// What `remove` takes away: `unlink(2)` refuses directories (`EISDIR`), `rmdir(2)` all else (`ENOTDIR`).
public enum RemovalKind: Sendable {
    case nonDirectory
    case directory
}

/// Flags of `setxattr(2)`.
public enum AttributeWriteMode: Sendable {
    case createOrReplace
    case create
    case replace
}

/// Modes of `fallocate(2)`.
public enum AllocationMode: Sendable {
    case allocate
    case allocateKeepingSize
    case punchHole
    case zero
    case zeroKeepingSize
    case collapse
    case insert
}

/// `SEEK_DATA` and `SEEK_HOLE` of `lseek(2)`.
public enum SeekTarget: Sendable {
    case data
    case hole
}

/// A place in a directory's order; stable under concurrent change. 0 is before the first entry.
///
/// Cookies 1 and 2 are never used by a filesystem: fronts use them for `.` and `..`.
public struct DirectoryCookie: Hashable, Comparable, Sendable, RawRepresentable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public static let start = DirectoryCookie(rawValue: 0)
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// One name in a directory.
public struct DirectoryEntry: Sendable {
    public var name: Name
    public var node: NodeID
    public var kind: NodeKind
    /// Pass it as `after` to go on behind this entry.
    public var cookie: DirectoryCookie
    /// Given when asked for (`plus`); handing it out adds one to the node's lookup count.
    public var attributes: Attributes?
    public init(name: Name, node: NodeID, kind: NodeKind, cookie: DirectoryCookie, attributes: Attributes? = nil) {
        self.name = name
        self.node = node
        self.kind = kind
        self.cookie = cookie
        self.attributes = attributes
    }
}

/// What `statvfs(3)` tells.
public struct Statistics: Sendable {
    public var blockBytes: UInt32
    public var totalBlocks: UInt64
    public var freeBlocks: UInt64
    /// What an unprivileged writer can really still write.
    public var availableBlocks: UInt64
    public var totalNodes: UInt64
    public var freeNodes: UInt64
    public var maximumNameBytes: UInt32
    public init(
        blockBytes: UInt32, totalBlocks: UInt64, freeBlocks: UInt64, availableBlocks: UInt64, totalNodes: UInt64,
        freeNodes: UInt64, maximumNameBytes: UInt32 = 255
    ) {
        self.blockBytes = blockBytes
        self.totalBlocks = totalBlocks
        self.freeBlocks = freeBlocks
        self.availableBlocks = availableBlocks
        self.totalNodes = totalNodes
        self.freeNodes = freeNodes
        self.maximumNameBytes = maximumNameBytes
    }
}

/// What a filesystem is, for those who mount it.
public struct Traits: Sendable {
    /// Nobody changes it behind our back, so that kernels and callers may cache without a time limit.
    public var ownsState: Bool
    public var readOnly: Bool
    /// The largest file, in bytes.
    public var maximumFileBytes: UInt64
    /// As `f_type` names it, for messages and `statfs`: `encfs`, `memfs`, `hostfs`.
    public var typeName: String
    /// Reads and writes of files go past the kernel's page cache, whatever the opener asked for.
    public var bypassesCaches: Bool
    public init(
        ownsState: Bool, readOnly: Bool, maximumFileBytes: UInt64, typeName: String, bypassesCaches: Bool = false
    ) {
        self.bypassesCaches = bypassesCaches
        self.ownsState = ownsState
        self.readOnly = readOnly
        self.maximumFileBytes = maximumFileBytes
        self.typeName = typeName
    }
}

/// An ordered commit: all that was done before it was asked for becomes durable with it.
public protocol DurabilityTicket: Sendable {
    /// Returns once durable.
    /// - Throws: `EIO` when durability failed; the filesystem then refuses further writes.
    func wait() throws(VFSError)
}

/// A ticket for filesystems with nothing to wait for.
public struct ImmediateTicket: DurabilityTicket {
    public init() {}
    public func wait() throws(VFSError) {}
}

/// Told when something changed that a front may have cached.
public protocol ChangeObserver: AnyObject, Sendable {
    /// Attributes or data of `node` changed other than through the observer's own calls.
    func changed(_ node: NodeID)
    /// The binding of `name` in `directory` changed other than through the observer's own calls.
    func changed(_ name: Name, in directory: NodeID)
}
