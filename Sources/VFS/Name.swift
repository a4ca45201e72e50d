/// One component of a path: 1 to 255 bytes, any but `/` and NUL, and neither `.` nor `..`.
///
/// Linux names are bytes, not text; nothing here normalises or decodes them.
public struct Name: Hashable, Sendable, CustomStringConvertible {
    /// Linux's `NAME_MAX`, in bytes.
    public static let maximumBytes = 255

    public let bytes: [UInt8]

    /// - Throws: `ENAMETOOLONG` above 255 bytes, `ENOENT` for no bytes, `EINVAL` for `.`, `..`, `/` or NUL.
    public init(_ bytes: some Sequence<UInt8>) throws(VFSError) {
        let bytes = Array(bytes)
        guard bytes.count <= Self.maximumBytes else { throw VFSError(.fileNameTooLong) }
        guard !bytes.isEmpty else { throw VFSError(.noSuchFileOrDirectory) }
        guard !bytes.contains(0), !bytes.contains(UInt8(ascii: "/")) else { throw VFSError(.invalidArgument) }
        let dot = UInt8(ascii: ".")
        guard bytes != [dot], bytes != [dot, dot] else { throw VFSError(.invalidArgument) }
        self.bytes = bytes
    }

    /// - Throws: as ``init(_:)-bytes``.
    public init(_ text: String) throws(VFSError) {
        try self.init(text.utf8)
    }

    public var description: String { String(decoding: bytes, as: UTF8.self) }
}
