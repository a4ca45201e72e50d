import EncFS
import SecureBlock
import SimHost
import VFS

/// Filesystems with changed numbers in their blocks, as a host could make them that has the key: mounted, walked,
/// checked, and written to.
enum FilesFuzz {
    private struct Base {
        var device: SimBlockDevice
        var commit: SequenceNumber
        /// Blocks that are not zero.
        var blocks: [UInt64]
    }

    private static let deviceBlocks: UInt64 = 2048
    static var targetCount: Int { base?.blocks.count ?? 0 }

    private static let base: Base? = {
        do { return try make() } catch { return nil }
    }()

    static func run(_ input: [UInt8]) {
        guard let base, !base.blocks.isEmpty, let device = base.device.crash(at: base.commit) else { return }
        var changed: [UInt64: [UInt8]] = [:]
        for edit in FuzzEdit.parse(input) {
            let block = base.blocks[edit.target % base.blocks.count]
            var bytes = changed[block] ?? contents(device, block)
            edit.apply(to: &bytes, from: 0)
            changed[block] = bytes
        }
        attempt {
            for (block, bytes) in changed {
                try bytes.withRawBytes { bytes throws(DeviceError) in try device.write(LogicalBlock(block), bytes) }
            }
            _ = try device.commit()
        }
        attempt { _ = try EncFS.check(device, readData: true, progress: { _, _ in }, finding: { _ in }) }
        attempt {
            var options = Self.options
            options.readOnly = true
            walk(try EncFS(mounting: device, options))
        }
        attempt {
            let files = try EncFS(mounting: device, options)
            walk(files)
            change(files)
            try files.close()
        }
        attempt { _ = try EncFS.check(device, readData: false, progress: { _, _ in }, finding: { _ in }) }
    }

    private static func attempt(_ body: () throws -> Void) {
        do { try body() } catch { return }
    }

    private static func contents(_ device: SimBlockDevice, _ block: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: blockBytes)
        attempt {
            try bytes.withMutableRawBytes { bytes throws(DeviceError) in
                try device.read(LogicalBlock(block), into: bytes)
            }
        }
        return bytes
    }

    private static var options: EncFS.MountOptions {
        var options = EncFS.MountOptions()
        options.commitIntervalMilliseconds = 0
        options.nodeCacheBytes = 1 << 20
        return options
    }

    /// Looks at every name, within reason: a damaged tree may name the same directory over and over.
    private static func walk(_ files: EncFS) {
        var directories = [files.root]
        var seen = 0
        let buffer = AlignedBuffer(byteCount: 2 * blockBytes)
        while let directory = directories.popLast(), seen < 100 {
            attempt {
                var entries: [DirectoryEntry] = []
                try files.readDirectory(directory, .none, after: .start, plus: false) {
                    entries.append($0)
                    return entries.count < 50
                }
                for entry in entries where entry.name.description != "." && entry.name.description != ".." {
                    seen += 1
                    attempt {
                        let node = try files.lookup(entry.name, in: directory).node
                        defer { files.forget(node, count: 1) }
                        let attributes = try files.attributes(node)
                        attempt { _ = try files.readLink(node) }
                        for offset: UInt64 in [0, attributes.size / 2, attributes.size &- 100] {
                            attempt { _ = try files.read(node, .none, at: offset, into: buffer.bytes) }
                        }
                        attempt { _ = try files.seek(node, .none, from: 0, to: .hole) }
                        attempt {
                            for name in try files.extendedAttributeNames(of: node).prefix(20) {
                                _ = try files.extendedAttribute(name, of: node)
                            }
                        }
                        if attributes.kind == .directory { directories.append(node) }
                    }
                }
            }
        }
    }

    private static func change(_ files: EncFS) {
        let bytes = AlignedBuffer(byteCount: 3 * blockBytes)
        attempt {
            let made = try files.make(
                NewNode(kind: .regular, permissions: 0o600), named: Name("new"), in: files.root, by: .root)
            _ = try files.write(made.node, .none, at: .offset(5), UnsafeRawBufferPointer(bytes.bytes), [])
            files.forget(made.node, count: 1)
        }
        for name in ["a", "c", "long", "d"] {
            attempt {
                let entry = try files.lookup(Name(name), in: files.root)
                defer { files.forget(entry.node, count: 1) }
                attempt {
                    _ = try files.write(entry.node, .none, at: .end, UnsafeRawBufferPointer(bytes.bytes), [])
                }
                attempt { try files.allocate(entry.node, .none, 4096..<9000, .punchHole) }
                attempt {
                    var change = AttributeChange()
                    change.size = 10
                    _ = try files.setAttributes(entry.node, change, by: .root)
                }
                attempt { try files.rename(Name(name), in: files.root, to: Name("r" + name), in: files.root, []) }
                attempt { try files.remove(Name("r" + name), in: files.root, .nonDirectory) }
            }
        }
        attempt { try files.commit(nil, dataOnly: false).wait() }
    }

    private static func make() throws -> Base {
        let device = SimBlockDevice(blocks: deviceBlocks)
        var format = EncFS.FormatOptions()
        format.nodeBytes = 4096
        try EncFS.format(device, format)
        let files = try EncFS(mounting: device, options)
        let bytes = AlignedBuffer(byteCount: 3 * blockBytes)
        for index in bytes.bytes.indices { bytes.bytes[index] = UInt8(truncatingIfNeeded: index &* 7) }
        func make(_ name: String, _ count: Int, kind: NodeKind = .regular, in directory: NodeID? = nil) throws
            -> NodeID
        {
            let new = NewNode(kind: kind, permissions: 0o755, target: kind == .symbolicLink ? [97] : [])
            let entry = try files.make(new, named: Name(name), in: directory ?? files.root, by: .root)
            if count > 0 {
                _ = try files.write(
                    entry.node, .none, at: .offset(0), UnsafeRawBufferPointer(rebasing: bytes.bytes[..<count]), [])
            }
            return entry.node
        }
        let first = try make("a", 3 * blockBytes)
        let copy = try make("c", 0)
        try files.clone(first, 0..<UInt64(2 * blockBytes), to: copy, at: 0, [])
        _ = try make("small", 60)
        _ = try make("s", 0, kind: .symbolicLink)
        let directory = try make("d", 0, kind: .directory)
        for index in 0..<40 { _ = try make("entry number \(index)", 0, in: directory) }
        let long = try make("long", 0)
        for index: UInt64 in 0..<30 {
            _ = try files.write(
                long, .none, at: .offset(index * 3 * UInt64(blockBytes)),
                UnsafeRawBufferPointer(rebasing: bytes.bytes[..<blockBytes]), [])
        }
        try files.setExtendedAttribute(
            Array("user.x".utf8), of: first, to: [UInt8](repeating: 1, count: 3000), .createOrReplace)
        _ = try files.link(first, as: Name("l"), in: directory)
        try files.remove(Name("small"), in: files.root, .nonDirectory)
        try files.commit(nil, dataOnly: false).wait()
        guard let commit = device.commits.last, let copy = device.crash(at: commit) else {
            throw VFSError(.ioError)
        }
        let zeros = [UInt8](repeating: 0, count: blockBytes)
        let blocks = (0..<deviceBlocks).filter { contents(copy, $0) != zeros }
        return Base(device: copy, commit: commit, blocks: blocks)
    }
}
