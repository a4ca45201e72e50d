import Glibc

/// Files in memory: `mmap(2)`. Only what is inside the file is touched; behind it a mapping raises `SIGBUS`.
extension RealFiles {
    private static let pageBytes = 4096

    /// Maps the pages around a range, and gives `body` the range itself.
    private func mapping(
        _ name: String, _ range: Range<Int>, _ sharing: Int32,
        _ body: (OpenFile, UnsafeMutableRawBufferPointer) throws(Difference) -> Void
    ) throws(Difference) {
        guard !range.isEmpty else { return }
        try with(name, O_RDWR) { file throws(Difference) in
            let start = range.lowerBound / Self.pageBytes * Self.pageBytes
            let count = range.upperBound - start
            guard let pages = mmap(nil, count, PROT_READ | PROT_WRITE, sharing, file.descriptor, start),
                pages != MAP_FAILED
            else { throw .call("mmap") }
            defer { munmap(pages, count) }
            // SAFETY: mapped until `munmap` above, `count` bytes of which all are inside the file.
            let all = UnsafeMutableRawBufferPointer(start: pages, count: count)
            try body(file, UnsafeMutableRawBufferPointer(rebasing: all[(range.lowerBound - start)...]))
        }
    }

    private func inside(_ name: String, _ offset: Int, _ count: Int, _ model: FileModel) -> Range<Int> {
        let part = model.files[name]?.part(offset, count)
        return offset..<offset + (part?.count ?? 0)
    }

    func mapAndWrite(
        _ name: String, _ offset: Int, _ pattern: Pattern, syncs: Bool, _ model: FileModel
    ) throws(Difference) {
        let range = inside(name, offset, pattern.count, model)
        let bytes = pattern.bytes.prefix(range.count)
        try mapping(name, range, MAP_SHARED) { file, room throws(Difference) in
            room.copyBytes(from: bytes)
            if syncs {
                let start = offset / Self.pageBytes * Self.pageBytes
                let pages = room.baseAddress.map { $0 - (offset - start) }
                guard msync(pages, range.upperBound - start, Int32(MS_SYNC)) == 0 else { throw .call("msync") }
            }
            try file.expect(bytes, asking: bytes.count, at: offset)
        }
        guard !range.isEmpty else { return }
        try with(name, O_RDONLY) { file throws(Difference) in
            if syncs { try file.cool() }
            try file.expect(bytes, asking: bytes.count, at: offset)
        }
    }

    func mapPrivately(_ name: String, _ offset: Int, _ pattern: Pattern, _ model: FileModel) throws(Difference) {
        let range = inside(name, offset, pattern.count, model)
        guard let before = model.files[name]?.part(offset, pattern.count) else { return }
        try mapping(name, range, MAP_PRIVATE) { file, room throws(Difference) in
            room.copyBytes(from: pattern.bytes.prefix(range.count))
            try file.expect(before, asking: range.count, at: offset)
        }
    }

    func mapAndRead(_ name: String, _ offset: Int, _ count: Int, _ model: FileModel) throws(Difference) {
        guard let expected = model.files[name]?.part(offset, count) else { return }
        try mapping(name, offset..<offset + expected.count, MAP_SHARED) { _, room throws(Difference) in
            let found = [UInt8](room)[...]
            if let difference = OpenFile.difference(found, expected) { throw Difference("mapped: \(difference)") }
        }
    }
}
