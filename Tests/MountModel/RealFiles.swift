import CLinux
import Glibc

/// The same calls on real files, each checked against the model as it was before.
struct RealFiles {
    let root: String

    init(below root: String) throws(Difference) {
        self.root = root
        for path in [root] + FileModel.directories.map({ root + "/" + $0 }) {
            guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw .call("mkdir \(path)") }
        }
    }

    func path(_ name: String) -> String { root + "/" + name }

    func make(_ call: FileCall, _ model: FileModel) throws(Difference) {
        switch call {
        case .write(let name, let offset, let pattern):
            try with(name, O_RDWR | O_CREAT) { file throws(Difference) in try file.write(pattern.bytes, at: offset)
            }
        case .append(let name, let pattern): try append(name, pattern)
        case .truncate(let name, let size):
            guard Glibc.truncate(path(name), size) == 0 else { throw .call("truncate") }
        case .punch(let name, let range): try allocate(name, 2, range)
        case .zero(let name, let range): try allocate(name, 3, range)
        case .reserve(let name, let size): try allocate(name, 0, 0..<size)
        case .copy(let source, let offset, let target, let place, let count):
            try copy(source, offset, target, place, count, model)
        case .mapAndWrite(let name, let offset, let pattern, let syncs):
            try mapAndWrite(name, offset, pattern, syncs: syncs, model)
        case .mapPrivately(let name, let offset, let pattern): try mapPrivately(name, offset, pattern, model)
        case .mapAndRead(let name, let offset, let count): try mapAndRead(name, offset, count, model)
        case .read(let name, let offset, let count): try read(name, offset, count, model)
        case .cool(let name): try with(name, O_RDONLY) { file throws(Difference) in try file.cool() }
        case .seekHoles(let name): try seekHoles(name, model)
        case .rename(let source, let target):
            guard Glibc.rename(path(source), path(target)) == 0 else { throw .call("rename") }
        case .link(let source, let target): try link(source, target, model)
        case .unlink(let name): guard Glibc.unlink(path(name)) == 0 else { throw .call("unlink") }
        case .unlinkWhileOpen(let name, let pattern): try unlinkWhileOpen(name, pattern, model)
        case .list(let directory): try list(directory, model)
        }
    }

    func with(_ name: String, _ flags: Int32, _ body: (OpenFile) throws(Difference) -> Void) throws(Difference) {
        let file = try OpenFile(path(name), flags)
        defer { file.close() }
        try body(file)
    }

    private func append(_ name: String, _ pattern: Pattern) throws(Difference) {
        try with(name, O_WRONLY | O_APPEND) { file throws(Difference) in
            let bytes = pattern.bytes
            guard Glibc.write(file.descriptor, bytes, bytes.count) == bytes.count else { throw .call("append") }
            if try file.size() > FileModel.limit, ftruncate(file.descriptor, FileModel.limit) != 0 {
                throw .call("ftruncate")
            }
        }
    }

    private func allocate(_ name: String, _ mode: Int32, _ range: Range<Int>) throws(Difference) {
        try with(name, O_WRONLY) { file throws(Difference) in
            guard casemate_host_allocate(file.descriptor, mode, range.lowerBound, range.count) == 0 else {
                throw .call("fallocate")
            }
        }
    }

    private func copy(
        _ source: String, _ offset: Int, _ target: String, _ place: Int, _ count: Int, _ model: FileModel
    ) throws(Difference) {
        let expected = model.files[source]?.part(offset, count).count ?? 0
        // A file copied behind its own end grows while it is read.
        let count = model.files[source] === model.files[target] ? expected : count
        try with(source, O_RDONLY) { from throws(Difference) in
            try with(target, O_WRONLY) { to throws(Difference) in
                var (inside, outside, done) = (offset, place, 0)
                while done < count {
                    let copied = copyFileRange(from.descriptor, &inside, to.descriptor, &outside, count - done, 0)
                    guard copied >= 0 else { throw .call("copy_file_range") }
                    if copied == 0 { break }
                    done += copied
                }
                guard done == expected, inside == offset + done, outside == place + done else {
                    throw Difference("copied \(done), \(expected) expected")
                }
            }
        }
    }

    private func read(_ name: String, _ offset: Int, _ count: Int, _ model: FileModel) throws(Difference) {
        guard let contents = model.files[name] else { return }
        try with(name, O_RDONLY) { file throws(Difference) in
            try file.expect(contents.part(offset, count), asking: count, at: offset)
            guard try file.size() == contents.bytes.count else { throw Difference("size") }
        }
    }

    /// Where a hole is told, there are zeros; what is told as data ends with a hole or the file.
    private func seekHoles(_ name: String, _ model: FileModel) throws(Difference) {
        guard let bytes = model.files[name]?.bytes else { return }
        try with(name, O_RDONLY) { file throws(Difference) in
            var place = 0
            while place < bytes.count {
                let hole = casemate_seek(file.descriptor, place, 1)
                guard hole >= place, hole <= bytes.count else { throw Difference("hole at \(hole) from \(place)") }
                let data = casemate_seek(file.descriptor, hole, 0)
                guard data > hole || data == -1 && errno == ENXIO || hole == bytes.count else {
                    throw Difference("data at \(data) from the hole at \(hole)")
                }
                let end = data == -1 ? bytes.count : data
                guard bytes[hole..<end].allSatisfy({ $0 == 0 }) else { throw Difference("a hole with data in it") }
                place = end
            }
        }
    }

    private func link(_ source: String, _ target: String, _ model: FileModel) throws(Difference) {
        let result = Glibc.link(path(source), path(target))
        guard model.files[target] == nil ? result == 0 : result == -1 && errno == EEXIST else {
            throw .call("link")
        }
    }

    private func unlinkWhileOpen(_ name: String, _ pattern: Pattern, _ model: FileModel) throws(Difference) {
        guard let contents = model.files[name] else { return }
        try with(name, O_RDWR) { file throws(Difference) in
            guard Glibc.unlink(path(name)) == 0 else { throw .call("unlink") }
            guard try file.status().st_nlink == model.links(of: name) - 1 else { throw Difference("link count") }
            try file.expect(contents.bytes[...], asking: FileModel.limit * 2, at: 0)
            let bytes = pattern.bytes
            try file.write(bytes, at: 0)
            try file.expect(bytes[...], asking: bytes.count, at: 0)
        }
    }

    private func list(_ directory: String, _ model: FileModel) throws(Difference) {
        guard let stream = opendir(path(directory)) else { throw .call("opendir") }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { found.append("\(directory)/\(name)") }
        }
        let expected = model.names.filter { $0.hasPrefix(directory + "/") }
        guard found.sorted() == expected else {
            throw Difference("entries \(found.sorted()), \(expected) expected")
        }
    }

    /// Every name, every byte, sizes and link counts.
    func compareAll(_ model: FileModel) throws(Difference) {
        for directory in FileModel.directories { try list(directory, model) }
        for name in model.names {
            guard let contents = model.files[name] else { continue }
            try with(name, O_RDONLY) { file throws(Difference) in
                do throws(Difference) {
                    try file.expect(contents.bytes[...], asking: contents.bytes.count + 1, at: 0)
                    let status = try file.status()
                    guard status.st_size == contents.bytes.count else { throw Difference("size \(status.st_size)") }
                    guard status.st_nlink == model.links(of: name) else { throw Difference("link count") }
                } catch { throw Difference("\(name): \(error.text)") }
            }
        }
    }
}
