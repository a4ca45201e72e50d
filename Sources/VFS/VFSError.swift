public import SystemPackage

/// Linux error numbers, so that users of this module need not import swift-system.
public typealias Errno = SystemPackage.Errno

/// Why a filesystem call failed: the Linux error number a caller sees, and for operators what lies behind it.
public struct VFSError: Error, Sendable, CustomStringConvertible {
    /// The error number as `errno(3)` would give it.
    public let errno: Errno
    /// What happened and where, for a log line; `nil` where the number says all (a missing name, say).
    public let fault: String?

    public init(_ errno: Errno, fault: String? = nil) {
        self.errno = errno
        self.fault = fault
    }

    public var description: String {
        if let fault { "\(errno): \(fault)" } else { "\(errno)" }
    }
}
