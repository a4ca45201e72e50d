import Glibc
import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// Calls that a file of their kind cannot take, or not in its state: the error that the manual page names.
@Suite struct RefusalTests {
    private let device: SimBlockDevice
    private let files: EncFS
    private let file: NodeID, directory: NodeID, link: NodeID, pipe: NodeID

    init() throws {
        device = try freshDevice(nodeBytes: 4096)
        files = try EncFS(mounting: device, .quiet)
        file = try files.make("file")
        directory = try files.make("directory", kind: .directory)
        pipe = try files.make("pipe", kind: .fifo)
        let new = NewNode(kind: .symbolicLink, permissions: 0o777, target: Array("file".utf8))
        link = try files.make(new, named: Name("link"), in: files.root, by: .root).node
    }

    @Test func byKind() throws {
        #expect(errno { try files.setSize(1, of: directory) } == .isDirectory)
        #expect(errno { try files.setSize(1, of: link) } == .invalidArgument)
        #expect(errno { try files.write([1], to: directory, at: 0) } == .isDirectory)
        #expect(errno { try files.write([1], to: link, at: 0) } == .invalidArgument)
        #expect(errno { _ = try files.read(directory, count: 1) } == .isDirectory)
        #expect(errno { _ = try files.read(link, count: 1) } == .invalidArgument)
        #expect(errno { _ = try files.seek(directory, .none, from: 0, to: .data) } == .invalidArgument)
        #expect(errno { try files.allocate(pipe, .none, 0..<10, .allocate) } == Errno(rawValue: ENODEV))
        #expect(errno { try files.allocate(directory, .none, 0..<10, .allocate) } == .isDirectory)
        #expect(errno { _ = try files.open(directory, .write) } == .isDirectory)
        let unnamed = NewNode(kind: .directory, permissions: 0o755)
        #expect(errno { _ = try files.make(unnamed, named: nil, in: files.root, by: .root) } == .invalidArgument)
    }

    /// Nothing has more names, and no directory more directories, than can be told (link(2), mkdir(2), rename(2)).
    @Test func links() throws {
        func setLinks(_ node: NodeID, _ count: UInt32) throws -> UInt32 {
            try files.store.change { tree throws(TreeError) in
                var record = try tree.inode(node.rawValue, files.table)
                let before = record.linkCount
                record.linkCount = count
                try tree.storeInode(node.rawValue, record, files.table)
                return before
            }
        }
        let other = try files.make("other", kind: .directory)
        let counts = (try setLinks(file, EncFS.maximumLinks), try setLinks(directory, EncFS.maximumLinks))
        #expect(errno { _ = try files.link(file, as: Name("more"), in: files.root) } == .tooManyLinks)
        #expect(errno { _ = try files.make("more", in: directory, kind: .directory) } == .tooManyLinks)
        #expect(
            errno { try files.rename(Name("other"), in: files.root, to: Name("more"), in: directory, []) }
                == .tooManyLinks)
        #expect(try files.find("other") == other)
        // What is none does not count.
        _ = try files.make("plain", in: directory)
        #expect(try files.names(in: directory) == ["plain"])
        #expect(try setLinks(file, counts.0) == EncFS.maximumLinks)
        #expect(try setLinks(directory, counts.1) == EncFS.maximumLinks)
        let empty = NewNode(kind: .symbolicLink, permissions: 0o777, target: [])
        #expect(
            errno { _ = try files.make(empty, named: Name("empty"), in: files.root, by: .root) }
                == .noSuchFileOrDirectory)
        try files.sync()
        #expect(try findings(device.crash()) == [])
    }

    @Test func attributes() throws {
        func set(
            _ name: String, of node: NodeID, _ mode: AttributeWriteMode = .createOrReplace, _ value: [UInt8] = [1]
        )
            -> Errno?
        {
            errno { try files.setExtendedAttribute(Array(name.utf8), of: node, to: value, mode) }
        }
        #expect(set("user.a", of: pipe) == .notPermitted)
        #expect(set("user.", of: file) == .invalidArgument)
        #expect(set("other.a", of: file) == .notSupported)
        #expect(set("user." + String(repeating: "n", count: 251), of: file) == .outOfRange)
        #expect(set("user.a", of: file, .replace) == Errno(rawValue: ENODATA))
        #expect(set("user.a", of: file, .create) == nil && set("user.a", of: file, .create) == .fileExists)
        // All the names of one file have 64 KiB (listxattr(2)).
        var count = 0
        while count < 300, set("user.\(count)" + String(repeating: "n", count: 240), of: file) == nil { count += 1 }
        #expect(count > 250 && count < 300)
        #expect(set("user.last" + String(repeating: "n", count: 240), of: file) == .noSpace)
        var change = AttributeChange()
        change.accessTime = .exact(Timestamp(seconds: 1, nanoseconds: 1_000_000_000))
        #expect(errno { _ = try files.setAttributes(file, change, by: .root) } == .invalidArgument)
        change.accessTime = .now
        #expect(errno { _ = try files.setAttributes(file, change, by: .root) } == nil)
    }

    /// acl(5) as xattr(7) stores it: a version, then tag, permissions and qualifier of each entry.
    private func list(users: Int) -> [UInt8] {
        var bytes: [UInt8] = [2, 0, 0, 0]
        func add(_ tag: UInt8, _ permissions: UInt8, _ qualifier: UInt32) {
            bytes += [tag, 0, permissions, 0]
            withUnsafeBytes(of: qualifier.littleEndian) { bytes += $0 }
        }
        add(1, 6, .max)
        for user in 0..<users { add(2, 6, 1000 + UInt32(user)) }
        add(4, 4, .max)
        if users > 0 { add(0x10, 6, .max) }
        add(0x20, 4, .max)
        return bytes
    }

    @Test func accessControlLists() throws {
        let access = Array("system.posix_acl_access".utf8), defaults = Array("system.posix_acl_default".utf8)
        func set(_ name: [UInt8], _ node: NodeID, _ users: Int, _ mode: AttributeWriteMode = .createOrReplace)
            -> Errno?
        {
            errno { try files.setExtendedAttribute(name, of: node, to: list(users: users), mode) }
        }
        #expect(set(access, link, 1) == .notSupported)
        #expect(set(defaults, file, 1) == .permissionDenied)
        #expect(set(access, file, 1, .replace) == Errno(rawValue: ENODATA))
        #expect(set(access, file, 1, .create) == nil && set(access, file, 2, .create) == .fileExists)
        #expect(set(access, file, 0, .replace) == nil)
        #expect(try files.extendedAttributeNames(of: file).isEmpty)
        // One that is longer than a node has room for is followed and inherited like any other.
        #expect(set(access, file, 700) == nil && set(defaults, directory, 700) == nil)
        var change = AttributeChange()
        change.permissions = 0o600
        _ = try files.setAttributes(file, change, by: .root)
        let child = try files.make("child", in: directory)
        #expect(try files.extendedAttribute(access, of: child).count == list(users: 700).count)
        try files.close()
        #expect(try findings(device) == [])
    }

    @Test func holesOfWhatIsInline() throws {
        try files.write([1, 2, 3], to: file, at: 0)
        #expect(try files.seek(file, .none, from: 1, to: .data) == 1)
        #expect(try files.seek(file, .none, from: 1, to: .hole) == 3)
        #expect(errno { _ = try files.seek(file, .none, from: 3, to: .data) } == .noSuchAddressOrDevice)
        try files.setSize(100, of: file)
        #expect(try files.seek(file, .none, from: 50, to: .hole) == 50)
        #expect(errno { _ = try files.seek(file, .none, from: 50, to: .data) } == .noSuchAddressOrDevice)
    }

    @Test func afterTheEnd() throws {
        try files.close()
        try files.close()
        #expect(errno { try files.write([1], to: file, at: 0) } == .readOnlyFileSystem)
        #expect(errno { _ = try files.open(file, .write) } == .readOnlyFileSystem)
        var options = EncFS.MountOptions.quiet
        options.readOnly = true
        let reader = try EncFS(mounting: device, options)
        #expect(errno { _ = try reader.open(file, [.write]) } == .readOnlyFileSystem)
        #expect(throws: EncFSError.readOnly) { try reader.resize(toBlocks: 1000) }
        var sealed = SimBlockDevice.Options()
        sealed.isReadOnly = true
        #expect(throws: EncFSError.readOnly) { try EncFS.format(SimBlockDevice(blocks: 1000, sealed), .init()) }
    }
}
