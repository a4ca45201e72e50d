import SecureBlock
import VFS

/// A filesystem, and the nodes that calls have given so far. They stay looked up to the end.
final class FuzzedFiles {
    /// What a call came to: equal for filesystems that agree.
    enum Outcome: Equatable {
        case done(numbers: [UInt64], bytes: [UInt8])
        case refused(Errno)

        var isRefused: Bool { if case .refused = self { true } else { false } }
    }

    let files: any FileSystem
    private var nodes: [NodeID?]

    init(_ files: any FileSystem) {
        self.files = files
        nodes = [files.root]
    }

    func perform(_ call: FuzzCall) -> Outcome {
        do throws(VFSError) {
            return try run(call)
        } catch {
            if call.givesNode { nodes.append(nil) }
            return .refused(error.errno)
        }
    }

    /// Lets go of all nodes, so that those without names end.
    func forgetAll() {
        for case .some(let node) in nodes.dropFirst() { files.forget(node, count: 1) }
        nodes = [files.root]
    }

    /// The bytes of a range to another place: what a clone comes to where nothing can be shared.
    /// - Returns: whether that was possible.
    func copy(_ source: Int, _ range: Range<UInt64>, _ target: Int, _ offset: UInt64) -> Bool {
        guard range.upperBound - range.lowerBound <= 1 << 20 else { return false }
        do throws(VFSError) {
            let bytes = try read(try node(source), range.lowerBound, range.count)
            return perform(.write(target, .offset(offset), bytes, [])) != .refused(.noSpace)
        } catch { return false }
    }

    private func node(_ index: Int) throws(VFSError) -> NodeID {
        guard let node = nodes[index % nodes.count] else { throw VFSError(.staleNFSFileHandle) }
        return node
    }

    private func run(_ call: FuzzCall) throws(VFSError) -> Outcome {
        switch call {
        case .lookup(let directory, let name): return keep(try files.lookup(name, in: try node(directory)))
        case .make(let new, let name, let directory):
            return keep(try files.make(new, named: name, in: try node(directory), by: .root))
        case .link(let target, let name, let directory):
            return keep(try files.link(try node(target), as: name, in: try node(directory)))
        case .parent(let directory):
            let node = try node(directory)
            // One that was removed has none, or the one it had.
            guard try files.attributes(node).linkCount > 0 else { break }
            let parent = try files.parent(of: node)
            return .done(numbers: [UInt64(nodes.firstIndex(of: parent) ?? 0)], bytes: [])
        case .attributes(let target): return seen(try files.attributes(try node(target)))
        case .change(let target, let change):
            return seen(try files.setAttributes(try node(target), change, by: .root))
        case .remove(let name, let directory, let kind):
            try files.remove(name, in: try node(directory), kind)
        case .rename(let name, let directory, let newName, let newDirectory, let flags):
            try files.rename(name, in: try node(directory), to: newName, in: try node(newDirectory), flags)
        case .readLink(let target): return .done(numbers: [], bytes: try files.readLink(try node(target)))
        case .list(let directory, let after, let limit, let plus):
            try list(try node(directory), DirectoryCookie(rawValue: after), limit, plus)
        default: return try runOnContents(call)
        }
        return .done(numbers: [], bytes: [])
    }

    private func runOnContents(_ call: FuzzCall) throws(VFSError) -> Outcome {
        switch call {
        case .open(let target, let flags):
            let node = try node(target)
            // The kernel opens everything else itself.
            guard [.regular, .directory].contains(try files.attributes(node).kind) else { break }
            files.close(node, try files.open(node, flags))
        case .read(let target, let offset, let count):
            return .done(numbers: [], bytes: try read(try node(target), offset, count))
        case .write(let target, let position, let bytes, let flags):
            let node = try node(target)
            let written = try bytes.withRawBytes { bytes throws(VFSError) in
                try files.write(node, .none, at: position, bytes, flags)
            }
            return .done(numbers: [UInt64(written.count), written.end], bytes: [])
        case .allocate(let target, let range, let mode): try files.allocate(try node(target), .none, range, mode)
        case .clone(let source, let range, let target, let offset):
            try files.clone(try node(source), range, to: try node(target), at: offset, [])
        case .seek(let target, let offset, let place): try seek(try node(target), offset, place)
        case .attribute(let target, let name):
            return .done(numbers: [], bytes: try files.extendedAttribute(name, of: try node(target)))
        case .attributeNames(let target):
            let names = try files.extendedAttributeNames(of: try node(target))
            return .done(
                numbers: [], bytes: Array(names.sorted { $0.lexicographicallyPrecedes($1) }.joined()))
        case .setAttribute(let target, let name, let value, let mode):
            try files.setExtendedAttribute(name, of: try node(target), to: value, mode)
        case .removeAttribute(let target, let name):
            try files.removeExtendedAttribute(name, of: try node(target))
        case .commit(let target, let dataOnly):
            try files.commit(try target.map { index throws(VFSError) in try node(index) }, dataOnly: dataOnly)
                .wait()
        case .statistics: _ = try files.statistics()
        default: break
        }
        return .done(numbers: [], bytes: [])
    }

    /// Where holes are is the filesystem's own business, up to the end of the file. But no seek goes back, and what one for
    /// data passes over reads as zeros.
    private func seek(_ node: NodeID, _ offset: UInt64, _ place: SeekTarget) throws(VFSError) {
        let size = try files.attributes(node).size
        var found = size
        do throws(VFSError) { found = try files.seek(node, .none, from: offset, to: place) } catch {
            guard error.errno == .noSuchAddressOrDevice, place == .data, offset < size else { throw error }
        }
        guard found >= offset else { throw VFSError(.ioError, fault: "a seek went back") }
        guard place == .data else { return }
        guard try read(node, offset, Int(min(found - offset, 1 << 17))).allSatisfy({ $0 == 0 }) else {
            throw VFSError(.ioError, fault: "a hole that holds bytes")
        }
    }

    private func keep(_ entry: Entry) -> Outcome {
        nodes.append(entry.node)
        return seen(entry.attributes)
    }

    /// What two filesystems show of the same file; a directory's size is its own.
    private func seen(_ attributes: Attributes) -> Outcome {
        let size = attributes.kind == .directory ? 0 : attributes.size
        return .done(
            numbers: [
                UInt64(attributes.mode), UInt64(attributes.linkCount), UInt64(attributes.owner),
                UInt64(attributes.group), size, attributes.device,
            ], bytes: [])
    }

    private func list(_ directory: NodeID, _ cookie: DirectoryCookie, _ limit: Int, _ plus: Bool) throws(VFSError) {
        var given: [NodeID] = []
        try files.readDirectory(directory, .none, after: cookie, plus: plus) { entry in
            guard given.count < limit else { return false }
            given.append(entry.node)
            return true
        }
        if plus { for node in given { files.forget(node, count: 1) } }
    }

    private func read(_ node: NodeID, _ offset: UInt64, _ count: Int) throws(VFSError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        let got = try bytes.withMutableRawBytes { bytes throws(VFSError) in
            try files.read(node, .none, at: offset, into: bytes)
        }
        return Array(bytes.prefix(got))
    }
}
