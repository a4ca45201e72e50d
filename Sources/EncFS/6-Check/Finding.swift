/// Something `check` found.
public struct Finding: Codable, Hashable, Sendable, CustomStringConvertible {
    public enum Severity: String, Codable, Sendable {
        /// Harmless, and gone with the next writable mount.
        case note
        /// The filesystem is damaged.
        case error
    }

    public var severity: Severity
    /// What kind of damage, stable for programs: `extent-overlap`, for example.
    public var kind: String
    public var inode: UInt64?
    public var path: String?
    public var message: String

    public init(severity: Severity, kind: String, inode: UInt64? = nil, path: String? = nil, message: String) {
        self.severity = severity
        self.kind = kind
        self.inode = inode
        self.path = path
        self.message = message
    }

    public var description: String {
        let place = path ?? inode.map { "inode \($0)" }
        return "\(severity.rawValue): \(kind): \(place.map { "\($0): " } ?? "")\(message)"
    }
}

/// What `check` went through.
public struct CheckSummary: Codable, Hashable, Sendable {
    public var nodes: UInt64 = 0
    public var items: UInt64 = 0
    public var inodes: UInt64 = 0
    public var directories: UInt64 = 0
    public var dataBlocks: UInt64 = 0
    public var orphans: UInt64 = 0
    public var errors: UInt64 = 0
    public var notes: UInt64 = 0
    public init() {}

    public var isClean: Bool { errors == 0 }
}
