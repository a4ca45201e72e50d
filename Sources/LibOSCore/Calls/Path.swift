import VFS

/// A path as Linux takes it: any bytes, with `/` between components. What is wrong with one is found when it is used.
public struct Path: Sendable, Hashable, ExpressibleByStringInterpolation, CustomStringConvertible {
    /// Linux's `PATH_MAX` in bytes, of which one is for the terminating NUL.
    public static let maximumBytes = 4096

    public let bytes: [UInt8]

    public init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
    public init(_ text: String) { bytes = Array(text.utf8) }
    public init(stringLiteral text: String) { self.init(text) }

    public var description: String { String(decoding: bytes, as: UTF8.self) }

    var isAbsolute: Bool { bytes.first == UInt8(ascii: "/") }
    var endsWithSlash: Bool { bytes.last == UInt8(ascii: "/") }

    /// What is between the slashes.
    var components: [ArraySlice<UInt8>] { bytes.split(separator: UInt8(ascii: "/")) }

    /// - Throws: `ENOENT` for no bytes, `ENAMETOOLONG` from 4096 bytes on, `EINVAL` for a NUL.
    func validate() throws(VFSError) {
        guard !bytes.isEmpty else { throw VFSError(.noSuchFileOrDirectory) }
        guard bytes.count < Self.maximumBytes else { throw VFSError(.fileNameTooLong) }
        guard !bytes.contains(0) else { throw VFSError(.invalidArgument) }
    }
}
