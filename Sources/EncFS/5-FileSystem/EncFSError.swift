import SecureBlock

/// Why a filesystem could not be made, mounted, closed or checked.
public enum EncFSError: Error, Hashable, Sendable {
    /// The device holds no EncFS.
    case notFormatted
    /// A newer format version than this program knows.
    case newerVersion
    /// Feature words name features this program does not have.
    case unknownFeatures
    /// Something that a sound filesystem has is not there; the text says what.
    case corrupt(String)
    case device(DeviceError)
    /// The device is too small, or full.
    case noSpace
    /// The device is read-only and the call needs to write.
    case readOnly
    /// Options that make no filesystem.
    case unsuitableOptions(String)
    /// An earlier failure ended writing; what was not committed before it is lost.
    case latched(String)
    /// The operating system refused a thread, memory or random bytes.
    case system(String)
}
