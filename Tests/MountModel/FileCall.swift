/// One call, or a few that belong together, with everything that decides what it does.
enum FileCall {
    /// Bytes are `Pattern`s of this count.
    case write(name: String, offset: Int, Pattern)
    case append(name: String, Pattern)
    case truncate(name: String, size: Int)
    case punch(name: String, Range<Int>)
    case zero(name: String, Range<Int>)
    case reserve(name: String, size: Int)
    /// `copy_file_range(2)` until everything is copied or the source ends.
    case copy(from: String, offset: Int, to: String, at: Int, count: Int)
    /// Through a shared mapping; `syncs` says whether `msync(2)` ends it.
    case mapAndWrite(name: String, offset: Int, Pattern, syncs: Bool)
    /// Through a private mapping: nothing happens to the file.
    case mapPrivately(name: String, offset: Int, Pattern)
    case mapAndRead(name: String, offset: Int, count: Int)
    case read(name: String, offset: Int, count: Int)
    /// `fsync(2)`, and out of the page cache, so that the next read asks the filesystem.
    case cool(name: String)
    case seekHoles(name: String)
    case rename(from: String, to: String)
    case link(from: String, to: String)
    case unlink(name: String)
    /// Removes the name of an open file, writes to it and reads it back.
    case unlinkWhileOpen(name: String, Pattern)
    case list(directory: String)
}

/// Bytes that differ from place to place, and from pattern to pattern.
struct Pattern {
    var seed: UInt64
    var count: Int

    var bytes: [UInt8] {
        var state = seed | 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }
}

/// What the files are after all calls so far.
struct FileModel {
    /// The contents of a file, under however many names.
    final class Contents {
        var bytes: [UInt8] = []

        func cover(_ end: Int) {
            if bytes.count < end { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
        }

        func put(_ new: some Collection<UInt8>, at offset: Int) {
            guard !new.isEmpty else { return }
            cover(offset + new.count)
            bytes.replaceSubrange(offset..<offset + new.count, with: new)
        }

        func part(_ offset: Int, _ count: Int) -> ArraySlice<UInt8> { bytes.dropFirst(offset).prefix(count) }
    }

    static let directories = ["d0", "d1", "d2"]
    /// Files do not grow beyond.
    static let limit = 192 << 10
    var files: [String: Contents] = [:]

    /// Names in order: what is chosen depends on the seed alone.
    var names: [String] { files.keys.sorted() }

    func links(of name: String) -> Int {
        guard let contents = files[name] else { return 0 }
        return files.values.count { $0 === contents }
    }
}
