import Foundation
import SimHost
import Testing
import VFS

/// Thousands of random calls on a filesystem and on a simple model of one; the two never differ.
@Suite struct ModelTests {
    /// `CASEMATE_MODEL_STEPS` asks for more than there is time for with every change, in one sequence.
    private static let asked = ProcessInfo.processInfo.environment["CASEMATE_MODEL_STEPS"].flatMap { Int($0) }
    static let steps = asked ?? 1500
    static let seeds = [UInt64.random(in: 1...1_000_000)] + (asked == nil ? [1, 2] : [])

    @Test(arguments: Subject.all, seeds)
    func randomCalls(_ subject: Subject, seed: UInt64) throws {
        let it = try subject.make()
        var run = ModelRun(it, subject.features, seed: seed)
        // Two million through FUSE are MountModelTests' part.
        let steps = subject.isMounted ? min(Self.steps, 20_000) : Self.steps
        for step in 0..<steps {
            let call = try run.step()
            if let difference = run.difference {
                Issue.record("seed \(seed), step \(step), \(call): \(difference)")
                return
            }
            if step % 500 == 499 {
                try run.compareAll()
                if let difference = run.difference {
                    Issue.record("seed \(seed), after step \(step): \(difference)")
                    return
                }
                it.checkInvariants()
            }
        }
    }
}

/// One file of the model.
final class ModelNode {
    let kind: NodeKind
    var bytes: [UInt8] = []
    var entries: [String: ModelNode] = [:]
    var links = 1
    var permissions: UInt16
    var attributes: [String: [UInt8]] = [:]
    let node: NodeID

    init(_ kind: NodeKind, _ node: NodeID, _ permissions: UInt16) {
        self.kind = kind
        self.node = node
        self.permissions = permissions
    }

    func contains(_ other: ModelNode) -> Bool {
        self === other || entries.values.contains { $0.kind == .directory && $0.contains(other) }
    }
}

struct ModelRun {
    let it: Specimen
    let features: Subject.Features
    var random: SimRandom
    let root: ModelNode
    /// Every directory there is, in the order they were made.
    var directories: [ModelNode]
    /// Every file that has a name.
    var regulars: [ModelNode] = []
    var difference: String?

    init(_ it: Specimen, _ features: Subject.Features, seed: UInt64) {
        self.it = it
        self.features = features
        random = SimRandom(seed: seed)
        root = ModelNode(.directory, it.root, 0o755)
        directories = [root]
    }

    mutating func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }
    mutating func name() -> String { "n\(number(0..<12))" }
    mutating func directory() -> ModelNode { directories[number(0..<directories.count)] }
    mutating func regular() -> ModelNode? { regulars.isEmpty ? nil : regulars[number(0..<regulars.count)] }
    private mutating func bytes() -> [UInt8] {
        let count = number(0..<20) == 0 ? number(1..<20_000) : number(1..<2_000)
        let first = number(0..<256)
        return (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ first) }
    }
    mutating func offset() -> Int { number(0..<4) == 0 ? number(0..<50_000) : number(0..<8_000) }

    /// Runs a call; notes a difference unless it ends as the model says.
    mutating func expect(_ errno: Errno?, _ body: () throws -> Void) {
        do {
            try body()
            if let errno { difference = "succeeded, \(errno) expected" }
        } catch let error as VFSError {
            if error.errno != errno { difference = "\(error), \(errno.map { "\($0)" } ?? "success") expected" }
        } catch {
            difference = "\(error)"
        }
    }

    /// Times twelve names of some 100 KiB at most: a run of any length fits.
    private static let mostDirectories = 24

    mutating func step() throws -> String {
        switch number(0..<24) {
        case 0, 1: return try make(.regular)
        case 2: return try directories.count < Self.mostDirectories ? make(.directory) : rmdir()
        case 3: return try link()
        case 4: return try unlink()
        case 5: return try rmdir()
        case 6, 7: return try rename()
        case 8, 9, 10, 11: return try write()
        case 12, 13: return try read()
        case 14: return try truncate()
        case 15: return try punch()
        case 16: return try chmod()
        case 17: return try attribute()
        case 18: return try list()
        case 19: return try clone()
        case 20, 21: return try shift()
        case 22: return try unnamed()
        default: return try lookup()
        }
    }

    private mutating func make(_ kind: NodeKind) throws -> String {
        let parent = directory()
        let name = name()
        let permissions = UInt16(number(0..<0o1000))
        let (it, node) = (it, parent.node)
        var made: NodeID?
        expect(parent.entries[name] == nil ? nil : .fileExists) {
            made = try it.files.make(
                NewNode(kind: kind, permissions: permissions), named: Name(name), in: node, by: .root
            ).node
        }
        if let made {
            let new = ModelNode(kind, made, permissions)
            parent.entries[name] = new
            if kind == .directory { directories.append(new) } else { regulars.append(new) }
        }
        return "make \(kind) \(name) in \(node)"
    }

    private mutating func link() throws -> String {
        guard let file = regular() else { return "nothing" }
        let parent = directory()
        let name = name()
        let it = it
        let errno: Errno? = parent.entries[name] == nil ? nil : .fileExists
        expect(errno) {
            _ = try it.files.link(file.node, as: Name(name), in: parent.node)
            it.files.forget(file.node, count: 1)
        }
        if errno == nil {
            parent.entries[name] = file
            file.links += 1
        }
        return "link \(file.node) as \(name) in \(parent.node)"
    }

    private mutating func gone(_ node: ModelNode) {
        node.links -= 1
        if node.kind == .directory {
            directories.removeAll { $0 === node }
        } else if node.links == 0 {
            regulars.removeAll { $0 === node }
        } else {
            return
        }
        it.files.forget(node.node, count: 1)
    }

    private mutating func unlink() throws -> String {
        let parent = directory()
        let name = name()
        let it = it
        let target = parent.entries[name]
        let errno: Errno? = target == nil ? .noSuchFileOrDirectory : target?.kind == .directory ? .isDirectory : nil
        expect(errno) { try it.remove(name, in: parent.node) }
        if errno == nil, let target {
            parent.entries[name] = nil
            gone(target)
        }
        return "unlink \(name) in \(parent.node)"
    }

    private mutating func rmdir() throws -> String {
        let parent = directory()
        let name = name()
        let it = it
        let target = parent.entries[name]
        let errno: Errno? =
            switch target {
            case nil: .noSuchFileOrDirectory
            case .some(let found) where found.kind != .directory: .notDirectory
            case .some(let found) where !found.entries.isEmpty: .directoryNotEmpty
            default: nil
            }
        expect(errno) { try it.remove(name, in: parent.node, .directory) }
        if errno == nil, let target {
            parent.entries[name] = nil
            gone(target)
        }
        return "rmdir \(name) in \(parent.node)"
    }

    private mutating func rename() throws -> String {
        let (from, to) = (directory(), directory())
        let (old, new) = (name(), name())
        var flags: RenameFlags = []
        if features.contains(.exchange) {
            switch number(0..<6) {
            case 0: flags = .noReplace
            case 1: flags = .exchange
            default: break
            }
        }
        let it = it
        let call = "rename \(old) in \(from.node) to \(new) in \(to.node), \(flags.rawValue)"
        let errors = renameErrors(from.entries[old], to.entries[new], from, to, flags)
        do {
            try it.rename(old, in: from.node, to: new, into: to.node, flags)
            if !errors.isEmpty { difference = "succeeded, \(errors) expected" }
        } catch let error as VFSError {
            // Where more than one thing is wrong, each of the numbers is right.
            if !errors.contains(error.errno) { difference = "\(error), \(errors) expected" }
        }
        guard errors.isEmpty, let moved = from.entries[old] else { return call }
        if let target = to.entries[new] {
            if target === moved { return call }
            if flags.contains(.exchange) {
                from.entries[old] = target
                to.entries[new] = moved
                return call
            }
            gone(target)
        }
        from.entries[old] = nil
        to.entries[new] = moved
        return call
    }

    /// All that is wrong with a rename; empty when it is to succeed.
    private func renameErrors(
        _ moved: ModelNode?, _ target: ModelNode?, _ from: ModelNode, _ to: ModelNode, _ flags: RenameFlags
    ) -> [Errno] {
        guard let moved else { return [.noSuchFileOrDirectory] }
        var errors: [Errno] = []
        if moved.contains(to) { errors.append(.invalidArgument) }
        if flags.contains(.exchange) {
            guard let target else { return errors + [.noSuchFileOrDirectory] }
            if target === moved { return [] }
            if target.contains(from) { errors.append(.invalidArgument) }
            return errors
        }
        guard let target else { return errors }
        if flags.contains(.noReplace) { errors.append(.fileExists) }
        if target === moved { return flags.contains(.noReplace) ? errors : [] }
        if moved.kind == .directory, target.kind != .directory { errors.append(.notDirectory) }
        if moved.kind != .directory, target.kind == .directory { errors.append(.isDirectory) }
        if !target.entries.isEmpty { errors.append(.directoryNotEmpty) }
        return errors
    }

    private mutating func write() throws -> String {
        guard let file = regular() else { return "nothing" }
        let bytes = bytes()
        let it = it
        let append = number(0..<5) == 0
        let offset = append ? file.bytes.count : offset()
        expect(nil) {
            try it.withHandle(file.node, .write) { handle throws in
                var done = 0
                while done < bytes.count {
                    let written = try bytes[done...].withUnsafeBytes {
                        try it.files.write(
                            file.node, handle, at: append ? .end : .offset(UInt64(offset + done)), $0, [])
                    }
                    done += written.count
                    #expect(written.end == UInt64(offset + done))
                }
            }
        }
        if file.bytes.count < offset + bytes.count {
            file.bytes += [UInt8](repeating: 0, count: offset + bytes.count - file.bytes.count)
        }
        file.bytes.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        return "write \(bytes.count) at \(append ? "end" : "\(offset)") of \(file.node)"
    }

    private mutating func read() throws -> String {
        guard let file = regular() else { return "nothing" }
        let offset = offset()
        let count = number(0..<10_000)
        let expected = file.bytes.dropFirst(offset).prefix(count)
        let found = try it.read(file.node, at: UInt64(offset), count: count)
        if found != Array(expected) { difference = "other bytes" }
        return "read \(count) at \(offset) of \(file.node)"
    }

    private mutating func truncate() throws -> String {
        guard let file = regular() else { return "nothing" }
        let size = offset()
        let it = it
        expect(nil) { try it.set(file.node) { $0.size = UInt64(size) } }
        if size < file.bytes.count {
            file.bytes.removeSubrange(size...)
        } else {
            file.bytes += [UInt8](repeating: 0, count: size - file.bytes.count)
        }
        return "truncate \(file.node) to \(size)"
    }

    private mutating func punch() throws -> String {
        guard features.contains(.allocation), let file = regular() else { return "nothing" }
        let start = offset()
        let end = start + number(1..<30_000)
        let grows = number(0..<2) == 0
        let mode: AllocationMode = grows ? .zero : .punchHole
        let it = it
        expect(nil) {
            try it.withHandle(file.node, .write) {
                try it.files.allocate(file.node, $0, UInt64(start)..<UInt64(end), mode)
            }
        }
        if grows, file.bytes.count < end {
            file.bytes += [UInt8](repeating: 0, count: end - file.bytes.count)
        }
        for index in start..<max(start, min(end, file.bytes.count)) { file.bytes[index] = 0 }
        return "\(mode) \(start)..<\(end) of \(file.node)"
    }

    private mutating func chmod() throws -> String {
        guard let file = regular() else { return "nothing" }
        let permissions = UInt16(number(0..<0o10000))
        let it = it
        expect(nil) { try it.set(file.node) { $0.permissions = permissions } }
        file.permissions = permissions
        return "chmod \(file.node)"
    }

    private mutating func attribute() throws -> String {
        guard features.contains(.extendedAttributes), let file = regular() else { return "nothing" }
        let name = "user.\(number(0..<3))"
        let it = it
        if number(0..<3) == 0 {
            expect(file.attributes[name] == nil ? .noSuchAttribute : nil) {
                try it.files.removeExtendedAttribute(Array(name.utf8), of: file.node)
            }
            file.attributes[name] = nil
            return "removexattr \(name) of \(file.node)"
        }
        let value = [UInt8](repeating: UInt8(number(0..<256)), count: number(0..<300))
        expect(nil) {
            try it.files.setExtendedAttribute(Array(name.utf8), of: file.node, to: value, .createOrReplace)
        }
        file.attributes[name] = value
        return "setxattr \(name) of \(file.node)"
    }

    private mutating func list() throws -> String {
        let parent = directory()
        if try it.list(parent.node, step: number(1..<9)).sorted() != parent.entries.keys.sorted() {
            difference = "other entries"
        }
        return "list \(parent.node)"
    }

    private mutating func lookup() throws -> String {
        let parent = directory()
        let name = name()
        let it = it
        let target = parent.entries[name]
        var found: NodeID?
        expect(target == nil ? .noSuchFileOrDirectory : nil) { found = try it.lookup(name, in: parent.node) }
        if let found { it.files.forget(found, count: 1) }
        if found != target?.node { difference = "another node" }
        return "lookup \(name) in \(parent.node)"
    }

    /// Everything at once: sizes, bytes, permissions, link counts, attributes, parents, entries.
    mutating func compareAll() throws {
        for file in regulars {
            let found = try it.attributes(file.node)
            if found.size != UInt64(file.bytes.count) { difference = "size of \(file.node)" }
            if found.linkCount != UInt32(file.links) { difference = "links of \(file.node)" }
            if found.permissions != file.permissions { difference = "permissions of \(file.node)" }
            if try it.read(file.node, count: file.bytes.count + 1) != file.bytes {
                difference = "bytes of \(file.node)"
            }
            for (name, value) in file.attributes
            where try it.files.extendedAttribute(Array(name.utf8), of: file.node) != value {
                difference = "attribute \(name) of \(file.node)"
            }
        }
        for directory in directories {
            let subdirectories = directory.entries.values.filter { $0.kind == .directory }
            let found = try it.attributes(directory.node)
            if found.linkCount != UInt32(2 + subdirectories.count) { difference = "links of \(directory.node)" }
            if try it.list(directory.node).sorted() != directory.entries.keys.sorted() {
                difference = "entries of \(directory.node)"
            }
            for child in subdirectories where try it.files.parent(of: child.node) != directory.node {
                difference = "parent of \(child.node)"
            }
        }
    }
}
