import SimHost
import VFS

@testable import EncFS

/// Does random things to a filesystem and its model alike.
struct RandomOperations {
    var generator: SimRandom
    var model = ModelFileSystem()
    /// Largest offset written to.
    var reach = 90_000
    private(set) var log: [String] = []

    init(seed: UInt64) { generator = SimRandom(seed: seed) }

    mutating func pick(_ kinds: Set<NodeKind>) -> (path: [String], id: Int)? {
        let paths = model.paths().filter { kinds.contains(model.nodes[$0.1]?.kind ?? .fifo) }
        return paths.randomElement(using: &generator).map { ($0.0, $0.1) }
    }

    private mutating func freshName() -> String {
        let long = Int.random(in: 0..<8, using: &generator) == 0
        return "n\(Int.random(in: 0..<24, using: &generator))" + (long ? String(repeating: "x", count: 240) : "")
    }

    func node(_ path: [String], _ files: EncFS) throws -> NodeID {
        var number = files.root
        for name in path { number = try files.find(name, in: number) }
        return number
    }

    /// One step.
    /// - Returns: what went wrong, or `nil`.
    mutating func step(_ files: EncFS) throws -> String? {
        let choice = Int.random(in: 0..<100, using: &generator)
        switch choice {
        case 0..<22: return try make(files)
        case 22..<55: return try write(files)
        case 55..<61: return try truncate(files)
        case 61..<63: return try allocate(files)
        case 63..<65: return try Bool.random(using: &generator) ? clone(files) : shift(files)
        case 65..<77: return try remove(files)
        case 77..<87: return try rename(files)
        case 87..<91: return try link(files)
        case 91..<96: return try attribute(files)
        default: return try chmod(files)
        }
    }

    mutating func expect(_ what: String, _ expected: Errno?, _ got: Errno?) -> String? {
        log.append("\(what) -> \(got.map { "\($0)" } ?? "ok")")
        return expected == got
            ? nil
            : "\(what): expected \(expected.map { "\($0)" } ?? "success"), got \(got.map { "\($0)" } ?? "success")"
    }

    private mutating func make(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.directory]) else { return nil }
        let name = freshName()
        let kind =
            [NodeKind.regular, .regular, .regular, .directory, .symbolicLink, .fifo]
            .randomElement(using: &generator) ?? .regular
        let directory = try node(path, files)
        let target = kind == .symbolicLink ? pattern(.random(in: 1...4095, using: &generator), seed: 5) : []
        let exists = model.nodes[id]?.children[name] != nil
        let got = errno {
            let entry = try files.make(
                NewNode(kind: kind, permissions: 0o640, target: target), named: Name(name), in: directory, by: .root
            )
            files.forget(entry.node, count: 1)
        }
        if !exists, got == nil {
            var permissions: UInt16 = kind == .symbolicLink ? 0o777 : 0o640
            if kind == .directory { permissions |= (model.nodes[id]?.permissions ?? 0) & 0o2000 }
            model.nodes[model.nextID] = ModelFileSystem.Node(kind: kind, permissions: permissions, data: target)
            model.add(model.nextID, as: name, in: id)
            model.nextID += 1
        }
        return expect("make \(path)/\(name) \(kind)", exists ? .fileExists : nil, got)
    }

    private mutating func write(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular]) else { return nil }
        let size = model.nodes[id]?.data.count ?? 0
        let isSmall = Bool.random(using: &generator)
        let offset =
            Int.random(in: 0...2, using: &generator) == 0 ? size : .random(in: 0..<reach, using: &generator)
        let count = Int.random(in: 1...(isSmall ? 700 : 20_000), using: &generator)
        let bytes = pattern(count, seed: generator.next())
        let number = try node(path, files)
        let got = errno { try files.write(bytes, to: number, at: UInt64(offset)) }
        if got == nil {
            if size < offset + count { model.nodes[id]?.data += repeatElement(0, count: offset + count - size) }
            model.nodes[id]?.data.replaceSubrange(offset..<offset + count, with: bytes)
        }
        return expect("write \(path) \(offset)+\(count)", nil, got)
    }

    private mutating func truncate(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular]) else { return nil }
        let size = Int.random(in: 0...3, using: &generator) == 0 ? 0 : Int.random(in: 0..<reach, using: &generator)
        let number = try node(path, files)
        let got = errno { try files.setSize(UInt64(size), of: number) }
        let old = model.nodes[id]?.data ?? []
        model.nodes[id]?.data = Array(old.prefix(size)) + repeatElement(0, count: max(0, size - old.count))
        return expect("truncate \(path) \(size)", nil, got)
    }

    private mutating func allocate(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular]) else { return nil }
        let mode: AllocationMode =
            [.allocate, .allocateKeepingSize, .punchHole, .punchHole, .zero, .zeroKeepingSize]
            .randomElement(using: &generator) ?? .allocate
        let low = Int.random(in: 0..<reach, using: &generator)
        let high = low + Int.random(in: 1..<30_000, using: &generator)
        let number = try node(path, files)
        let got = errno { try files.allocate(number, .none, UInt64(low)..<UInt64(high), mode) }
        var data = model.nodes[id]?.data ?? []
        if mode == .punchHole || mode == .zero || mode == .zeroKeepingSize {
            for index in low..<max(low, min(high, data.count)) { data[index] = 0 }
        }
        if mode == .allocate || mode == .zero, data.count < high {
            data += repeatElement(0, count: high - data.count)
        }
        model.nodes[id]?.data = data
        return expect("allocate \(path) \(low)..<\(high) \(mode)", nil, got)
    }

    private mutating func remove(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular, .directory, .symbolicLink, .fifo]), let name = path.last,
            let parent = model.lookup(Array(path.dropLast())), let victim = model.nodes[id]
        else { return nil }
        let isDirectory = victim.kind == .directory
        let asks: RemovalKind =
            Int.random(in: 0..<10, using: &generator) == 0
            ? (isDirectory ? .nonDirectory : .directory) : (isDirectory ? .directory : .nonDirectory)
        var expected: Errno?
        if isDirectory != (asks == .directory) {
            expected = isDirectory ? .isDirectory : .notDirectory
        } else if !victim.children.isEmpty {
            expected = .directoryNotEmpty
        }
        let directory = try node(Array(path.dropLast()), files)
        let got = errno { try files.remove(Name(name), in: directory, asks) }
        if expected == nil { model.unlink(name, in: parent) }
        return expect("remove \(path)", expected, got)
    }

    private mutating func rename(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular, .directory, .symbolicLink, .fifo]), let name = path.last,
            let from = model.lookup(Array(path.dropLast())), let (target, to) = pick([.directory])
        else { return nil }
        let children = (model.nodes[to]?.children ?? [:]).keys.sorted()
        let newName =
            Bool.random(using: &generator) ? freshName() : children.randomElement(using: &generator) ?? freshName()
        let flags: RenameFlags = [[], [], [], .noReplace, .exchange].randomElement(using: &generator) ?? []
        let existing = model.nodes[to]?.children[newName]
        let expected = refusal(id, existing, from: from, to: to, flags)
        let (fromNode, toNode) = (try node(Array(path.dropLast()), files), try node(target, files))
        let got = errno { try files.rename(Name(name), in: fromNode, to: Name(newName), in: toNode, flags) }
        if expected == nil, existing != id {
            if flags == .exchange, let existing {
                model.nodes[from]?.children[name] = existing
                model.nodes[to]?.children[newName] = id
            } else {
                if existing != nil { model.unlink(newName, in: to) }
                model.nodes[from]?.children[name] = nil
                model.nodes[to]?.children[newName] = id
            }
        }
        return expect("rename \(path) to \(target)/\(newName) \(flags.rawValue)", expected, got)
    }

    private func refusal(_ id: Int, _ existing: Int?, from: Int, to: Int, _ flags: RenameFlags) -> Errno? {
        let isDirectory = model.nodes[id]?.kind == .directory
        if isDirectory, model.contains(to, below: id) { return .invalidArgument }
        guard let existing, let other = model.nodes[existing] else {
            return flags == .exchange ? .noSuchFileOrDirectory : nil
        }
        if flags == .exchange {
            return other.kind == .directory && model.contains(from, below: existing) ? .invalidArgument : nil
        }
        if flags == .noReplace { return .fileExists }
        if existing == id { return nil }
        if isDirectory, other.kind != .directory { return .notDirectory }
        if !isDirectory, other.kind == .directory { return .isDirectory }
        return other.children.isEmpty ? nil : .directoryNotEmpty
    }

    private mutating func link(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular, .fifo]), let (target, to) = pick([.directory]) else { return nil }
        let name = freshName()
        let exists = model.nodes[to]?.children[name] != nil
        let (number, directory) = (try node(path, files), try node(target, files))
        let got = errno {
            let entry = try files.link(number, as: Name(name), in: directory)
            files.forget(entry.node, count: 1)
        }
        if !exists { model.add(id, as: name, in: to) }
        return expect("link \(path) as \(target)/\(name)", exists ? .fileExists : nil, got)
    }

    private mutating func attribute(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular, .directory]) else { return nil }
        let name = "user.a\(Int.random(in: 0..<4, using: &generator))"
        let number = try node(path, files)
        if Int.random(in: 0..<3, using: &generator) == 0 {
            let exists = model.nodes[id]?.attributes.removeValue(forKey: name) != nil
            let got = errno { try files.removeExtendedAttribute(Array(name.utf8), of: number) }
            return expect("removexattr \(path) \(name)", exists ? nil : Errno(rawValue: 61), got)
        }
        let isLarge = Int.random(in: 0..<4, using: &generator) == 0
        let value = pattern(.random(in: 0...(isLarge ? 20_000 : 90), using: &generator), seed: generator.next())
        let got = errno {
            try files.setExtendedAttribute(Array(name.utf8), of: number, to: value, .createOrReplace)
        }
        model.nodes[id]?.attributes[name] = value
        return expect("setxattr \(path) \(name) \(value.count)", nil, got)
    }

    private mutating func chmod(_ files: EncFS) throws -> String? {
        guard let (path, id) = pick([.regular, .directory, .fifo]) else { return nil }
        let permissions = UInt16.random(in: 0...0o7777, using: &generator)
        var change = AttributeChange()
        change.permissions = permissions
        let number = try node(path, files)
        let got = errno { try files.setAttributes(number, change, by: .root) }
        model.nodes[id]?.permissions = permissions
        return expect("chmod \(path) \(permissions)", nil, got)
    }
}
