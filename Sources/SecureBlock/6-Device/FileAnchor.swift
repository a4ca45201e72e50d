import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// An anchor in a small file on other storage than the volume's: a memory stick, a file server, another host.
///
/// It protects as far as whoever can turn the volume back cannot turn this file back too. Any number of processes may
/// have it; an update excludes them all while it lasts, by a lock on the file (`flock(2)`). A lock held longer than
/// five seconds is ``AnchorError/unavailable(_:)``.
///
/// The file holds two records, each in a block of its own. An update writes the older one with one `pwrite(2)` and one
/// `fdatasync(2)`; whatever a crash leaves of it, the other is still there. A file that is missing, empty or all zeros
/// holds no value.
public final class FileAnchor: Anchor {
    public let path: String
    private let lock = Monitor<Void>(())

    /// Names the file; nothing is opened yet.
    /// - Parameter path: a relative one is taken from the directory that is current now.
    public init(path: String) {
        if path.hasPrefix("/") {
            self.path = path
        } else {
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let isKnown = getcwd(&buffer, buffer.count) != nil
            let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            self.path = isKnown ? String(decoding: bytes, as: UTF8.self) + "/" + path : path
        }
    }

    public var description: String { "file \(path)" }

    public func load() throws(AnchorError) -> AnchorValue? {
        try lock.withLock { _ throws(AnchorError) in
            guard let file = try AnchorFile(path: path, .reading) else { return nil }
            return try DiskAnchor(try file.read()).newest?.value
        }
    }

    public func compareAndSwap(expected: AnchorValue?, new: AnchorValue) throws(AnchorError) {
        try lock.withLock { _ throws(AnchorError) in
            guard let file = try AnchorFile(path: path, .writing) else {
                throw .unavailable("\(path) cannot be made")
            }
            let stored = try DiskAnchor(try file.read())
            guard stored.newest?.value == expected else { throw .conflict(found: stored.newest?.value) }
            let next = try stored.next(new)
            if stored.newest == nil {
                try file.initialise(next.bytes, at: next.offset)
            } else {
                try file.write(next.bytes, at: next.offset)
            }
        }
    }
}
