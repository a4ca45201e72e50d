import VFS

@testable import EncFS

extension RandomOperations {
    mutating func clone(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular]), let (target, to) = pick([.regular]), id != to else { return nil }
        let source = model.nodes[id]?.data ?? []
        guard !source.isEmpty else { return nil }
        let start = Int.random(in: 0..<source.count, using: &generator) / 4096 * 4096
        let place = Int.random(in: 0..<reach, using: &generator) / 4096 * 4096
        let old = model.nodes[to]?.data ?? []
        // A part of a block only where it ends both files.
        let isToEnd = place + source.count - start >= old.count
        let end = isToEnd ? source.count : source.count / 4096 * 4096
        guard start < end else { return nil }
        let (from, into) = (try node(path, files), try node(target, files))
        let got = errno { try files.clone(from, UInt64(start)..<UInt64(end), to: into, at: UInt64(place), []) }
        var data = old
        let last = place + end - start
        if data.count < last { data += repeatElement(0, count: last - data.count) }
        data.replaceSubrange(place..<last, with: source[start..<end])
        model.nodes[to]?.data = data
        return expect("clone \(path) \(start)..<\(end) to \(target) \(place)", nil, got)
    }

    mutating func shift(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular]) else { return nil }
        var data = model.nodes[id]?.data ?? []
        let start = Int.random(in: 0..<12, using: &generator) * 4096
        let end = start + Int.random(in: 1..<4, using: &generator) * 4096
        let inserts = data.count < 150_000 && Bool.random(using: &generator)
        let isRefused = (inserts ? start : end) >= data.count
        let number = try node(path, files)
        let got = errno {
            try files.allocate(number, .none, UInt64(start)..<UInt64(end), inserts ? .insert : .collapse)
        }
        if !isRefused {
            if inserts {
                data.insert(contentsOf: repeatElement(0, count: end - start), at: start)
            } else {
                data.removeSubrange(start..<end)
            }
            model.nodes[id]?.data = data
        }
        return expect(
            "\(inserts ? "insert" : "collapse") \(path) \(start)..<\(end)", isRefused ? .invalidArgument : nil, got)
    }
}
