/// A file of one filesystem, by number: stable while the node is referenced, never 0.
///
/// EncFS uses its inode number. A number is never given to another file while the mount lives.
public struct NodeID: Hashable, Comparable, Sendable, RawRepresentable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (left: NodeID, right: NodeID) -> Bool { left.rawValue < right.rawValue }
}

/// What an `open` gave; ``none`` where the filesystem keeps nothing per open.
public struct Handle: Hashable, Sendable, RawRepresentable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public static let none = Handle(rawValue: 0)
}

/// The file type bits of `st_mode`, `inode(7)`.
public enum NodeKind: UInt8, Sendable, CaseIterable {
    case fifo = 1
    case characterDevice = 2
    case directory = 4
    case blockDevice = 6
    case regular = 8
    case symbolicLink = 10
    case socket = 12

    /// `S_IFMT` bits; the raw value is also `d_type` of `readdir(3)`.
    public var modeBits: UInt32 { UInt32(rawValue) << 12 }

    /// The type in the `S_IFMT` bits of `mode`, if they name one.
    public init?(mode: UInt32) { self.init(rawValue: UInt8((mode >> 12) & 0xF)) }
}

/// Seconds and nanoseconds since the epoch, as `struct timespec`; nanoseconds are 0 to 999,999,999.
public struct Timestamp: Hashable, Comparable, Sendable {
    public var seconds: Int64
    public var nanoseconds: UInt32
    public init(seconds: Int64, nanoseconds: UInt32) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }
    public static let zero = Timestamp(seconds: 0, nanoseconds: 0)
    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }
}

/// What `statx(2)` tells of a file.
public struct Attributes: Hashable, Sendable {
    public var node: NodeID
    public var kind: NodeKind
    /// The low 12 bits of `st_mode`: permissions, set-user-ID, set-group-ID, sticky.
    public var permissions: UInt16
    public var linkCount: UInt32
    public var owner: UInt32
    public var group: UInt32
    /// In bytes.
    public var size: UInt64
    /// Allocated space in units of 512 bytes, as `st_blocks`.
    public var blocks512: UInt64
    /// For device nodes, as `st_rdev`.
    public var device: UInt64
    public var accessTime: Timestamp
    public var modificationTime: Timestamp
    public var changeTime: Timestamp
    public var birthTime: Timestamp
    /// As `st_blksize`.
    public var preferredBytes: UInt32
    /// `false` where there is certainly no access control list: permissions say it all.
    public var mayHaveAccessControlList = false

    public init(
        node: NodeID, kind: NodeKind, permissions: UInt16, linkCount: UInt32, owner: UInt32, group: UInt32,
        size: UInt64, blocks512: UInt64, device: UInt64, accessTime: Timestamp, modificationTime: Timestamp,
        changeTime: Timestamp, birthTime: Timestamp, preferredBytes: UInt32 = 4096
    ) {
        self.node = node
        self.kind = kind
        self.permissions = permissions
        self.linkCount = linkCount
        self.owner = owner
        self.group = group
        self.size = size
        self.blocks512 = blocks512
        self.device = device
        self.accessTime = accessTime
        self.modificationTime = modificationTime
        self.changeTime = changeTime
        self.birthTime = birthTime
        self.preferredBytes = preferredBytes
    }

    /// `st_mode`: kind and permissions in one word.
    public var mode: UInt32 { kind.modeBits | UInt32(permissions) }
}

/// A looked-up name: the node and its attributes. Each one handed out adds one to the node's lookup count.
public struct Entry: Sendable {
    public var node: NodeID
    public var attributes: Attributes
    public init(node: NodeID, attributes: Attributes) {
        self.node = node
        self.attributes = attributes
    }
}

/// Who asks: decides ownership of what is made and, in LibOSCore, permission.
public struct Caller: Sendable {
    public var user: UInt32
    public var group: UInt32
    public var groups: [UInt32]
    public var process: Int32
    public init(user: UInt32, group: UInt32, groups: [UInt32] = [], process: Int32 = 0) {
        self.user = user
        self.group = group
        self.groups = groups
        self.process = process
    }
    public static let root = Caller(user: 0, group: 0)
}

/// What to make.
public struct NewNode: Sendable {
    public var kind: NodeKind
    public var permissions: UInt16
    /// Permission bits to leave out, unless the directory has a default access control list, which decides then.
    public var umask: UInt16
    /// `st_rdev` for device nodes.
    public var device: UInt64
    /// What a symbolic link points to.
    public var target: [UInt8]
    public init(
        kind: NodeKind, permissions: UInt16, umask: UInt16 = 0, device: UInt64 = 0, target: [UInt8] = []
    ) {
        self.kind = kind
        self.permissions = permissions
        self.umask = umask
        self.device = device
        self.target = target
    }
}

/// What to change of a file's attributes; `nil` leaves a field as it is.
public struct AttributeChange: Sendable {
    public enum Time: Sendable, Hashable {
        /// The filesystem's clock at the change.
        case now
        case exact(Timestamp)
    }
    public var permissions: UInt16?
    public var owner: UInt32?
    public var group: UInt32?
    /// The new size in bytes: truncates or extends with a hole.
    public var size: UInt64?
    public var accessTime: Time?
    public var modificationTime: Time?
    /// Also drop set-user-ID, set-group-ID (when group-executable) and file capabilities: the caller is unprivileged
    /// and writes, truncates or changes owner.
    public var clearsPrivileges = false
    public init() {}
}
