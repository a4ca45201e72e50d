import Glibc
public import SystemPackage

/// The system's words for an error number, as `strerror(3)`.
public func systemMessage(_ errno: Int32) -> String { Errno(rawValue: errno).description }

/// The error number of the C call that just failed.
public func lastError() -> Errno { Errno(rawValue: Glibc.errno) }
