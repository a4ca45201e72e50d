import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// Arguments at and behind the limits of what can be named: a typed error, and nothing has changed.
@Suite struct ArgumentTests {
    private let limit = UInt64(Int64.max)

    /// A range that there is no room for stays as it was: it is not freed before it cannot be filled again.
    @Test(arguments: [AllocationMode.zero, .zeroKeepingSize, .allocate, .allocateKeepingSize])
    func aRangeThatCannotBeFilledStaysAsItWas(mode: AllocationMode) throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("a")
        let bytes = pattern(70_000, seed: 3)
        try files.write(bytes, to: node, at: 0)
        let before = try files.attributes(node)
        #expect(errno { try files.allocate(node, .none, 432..<1 << 40, mode) } == .noSpace)
        #expect(try files.attributes(node) == before)
        #expect(try files.read(node, count: 80_000) == bytes)
        try files.close()
        #expect(try findings(device) == [])
    }

    @Test func offsetsBehindEverythingAreRefused() throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet)
        let node = try files.make("a")
        try files.write(pattern(9000, seed: 1), to: node, at: 0)
        for offset in [limit, limit + 1, 1 << 63, .max - 4096, .max] {
            #expect(errno { try files.write([1], to: node, at: offset) } == .fileTooLarge, "\(offset)")
            // A write of nothing is no write, wherever it is (write(2)).
            #expect(try files.write([], to: node, at: offset) == 0)
            #expect(try files.read(node, at: offset, count: 10) == [])
            #expect(errno { try files.setSize(offset, of: node) } == (offset > limit ? .fileTooLarge : nil))
            #expect(errno { _ = try files.seek(node, .none, from: offset, to: .data) } == .noSuchAddressOrDevice)
            try files.setSize(9000, of: node)
        }
        #expect(try files.write([1, 2], to: node, at: limit - 1) == 1)
        // An append takes what fits, too, and only then is refused.
        try files.setSize(limit - 3, of: node)
        let handle = try files.open(node, [.write, .append])
        defer { files.close(node, handle) }
        func append() throws -> Int {
            try [UInt8](repeating: 7, count: 10).withUnsafeBytes { bytes in
                try files.write(node, handle, at: .end, bytes, []).count
            }
        }
        #expect(try append() == 3)
        #expect(errno { _ = try append() } == .fileTooLarge)
        #expect(try files.attributes(node).size == limit)
    }

    @Test(arguments: [AllocationMode.allocate, .allocateKeepingSize, .punchHole, .zero, .collapse, .insert])
    func rangesBehindEverythingAreRefused(mode: AllocationMode) throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet)
        let node = try files.make("a")
        try files.write(pattern(9000, seed: 1), to: node, at: 0)
        for range in [0..<limit + 1, 4096..<UInt64.max, limit..<UInt64.max, UInt64.max - 1..<UInt64.max] {
            #expect(errno { try files.allocate(node, .none, range, mode) } == .fileTooLarge, "\(range)")
        }
        #expect(errno { try files.allocate(node, .none, 4096..<4096, mode) } == .invalidArgument)
        #expect(try files.read(node, count: 9001) == pattern(9000, seed: 1))
    }

    @Test func whatCannotBeNamedCannotBeShared() throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet)
        let source = try files.make("a"), target = try files.make("b")
        try files.write(pattern(9000, seed: 1), to: source, at: 0)
        for range in [0..<1 << 63, 0..<UInt64.max, 4096..<UInt64.max, UInt64.max - 4095..<UInt64.max] {
            #expect(errno { try files.clone(source, range, to: target, at: 0, []) } == .invalidArgument, "\(range)")
        }
        #expect(errno { try files.clone(source, 0..<4096, to: target, at: limit - 4095, []) } == .fileTooLarge)
        #expect(try files.attributes(target).size == 0)
    }

    /// A directory's set-group-ID bit says whose its files are, and gives nobody privileges (chown(2)).
    @Test func directoriesKeepTheirGroupsBit() throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet)
        let directory = try files.make("d", kind: .directory, permissions: 0o2775)
        let file = try files.make("f", permissions: 0o6775)
        var change = AttributeChange()
        change.owner = 7
        change.clearsPrivileges = true
        #expect(try files.setAttributes(directory, change, by: .root).permissions == 0o2775)
        #expect(try files.setAttributes(file, change, by: .root).permissions == 0o775)
    }

    /// A directory that was removed while somebody still knows it is not an empty one (getdents(2)).
    @Test(arguments: [0, 1 << 31, .max] as [UInt64]) func aRemovedDirectoryIsNotListed(cookie: UInt64) throws {
        let files = try EncFS(mounting: try freshDevice(), .quiet)
        let directory = try files.make(
            NewNode(kind: .directory, permissions: 0o755), named: Name("d"), in: files.root, by: .root
        ).node
        func list() throws(VFSError) {
            try files.readDirectory(
                directory, .none, after: DirectoryCookie(rawValue: cookie), plus: true
            ) { _ in true }
        }
        try list()
        try files.remove(Name("d"), in: files.root, .directory)
        #expect(errno { try list() } == .noSuchFileOrDirectory)
    }
}
