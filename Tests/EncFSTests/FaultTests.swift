import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// A device that fails in the middle of an operation, and metadata that contradicts itself: `EIO` with a cause, what is in
/// memory stays readable, and the next mount is sound.
@Suite struct FaultTests {
    private let device: SimBlockDevice
    private let files: EncFS
    private let file: NodeID
    private let log = FaultLog()

    init() throws {
        device = try freshDevice(nodeBytes: 4096)
        var options = EncFS.MountOptions.quiet
        options.reportFault = { [log] in log.add($0) }
        files = try EncFS(mounting: device, options)
        file = try files.make("file")
        try files.write(pattern(50_000, seed: 1), to: file, at: 0)
        try files.sync()
    }

    private func expectSound(_ copy: SimBlockDevice) throws {
        #expect(try findings(copy) == [])
        let again = try EncFS(mounting: copy, .quiet)
        #expect(try again.read(try again.find("file"), count: 50_001) == pattern(50_000, seed: 1))
    }

    /// Part of a block that cannot be read cannot be written: that call fails and says where, others go on.
    @Test func aPartialWriteToALostBlockIsRefused() throws {
        let block = try #require(try files.dataBlocks(of: file).first).first
        device.damage(LogicalBlock(block.rawValue + 1))
        #expect(errno { try files.write([1, 2, 3], to: file, at: 5000) } == .ioError)
        #expect(log.all.contains { $0.contains("/file") })
        #expect(errno { try files.setSize(5000, of: file) } == .ioError)
        // A whole block needs nothing of what was there. This device keeps its places, and is repaired beside that.
        try files.write([UInt8](repeating: 9, count: 4096), to: file, at: 4096)
        device.heal(LogicalBlock(block.rawValue + 1))
        try files.write([1, 2, 3], to: file, at: 5000)
        #expect(try files.read(file, at: 4999, count: 5) == [9, 1, 2, 3, 9])
        try files.close()
        #expect(try findings(device) == [])
    }

    /// The device stops writing before a truncation has made the last block's rest zero: nothing was cut.
    @Test func aTruncationThatCannotClearIsNone() throws {
        device.setFault(.writesAfter(0, .latched("gone")))
        #expect(errno { try files.setSize(5000, of: file) } == .ioError)
        #expect(try files.attributes(file).size == 50_000)
        #expect(try files.read(file, count: 50_000) == pattern(50_000, seed: 1))
        #expect(errno { try files.write([1], to: file, at: 0) } == .readOnlyFileSystem)
        #expect(throws: EncFSError.self) { try files.close() }
        try expectSound(device.crash())
    }

    @Test func aWriteToADeviceThatStoppedEndsWriting() throws {
        device.setFault(.writesAfter(0, .latched("gone")))
        #expect(errno { try files.write(pattern(9000, seed: 2), to: file, at: 100) } == .ioError)
        #expect(errno { _ = try files.make("new") } == .readOnlyFileSystem)
        #expect(try files.read(file, count: 50_000) == pattern(50_000, seed: 1))
        #expect(errno { try files.quiesced { Issue.record("ran") } } == .readOnlyFileSystem)
        try expectSound(device.crash())
    }

    /// A device that has no room for the block to be cleared: nothing was cut, and later there is.
    @Test func aTruncationWithoutRoomIsRefusedAndRepeated() throws {
        device.setFault(.writesAfter(0, .noSpace))
        #expect(errno { try files.setSize(5000, of: file) } == .noSpace)
        #expect(try files.attributes(file).size == 50_000)
        device.setFault(nil)
        try files.setSize(5000, of: file)
        #expect(try files.read(file, count: 6000) == Array(pattern(50_000, seed: 1).prefix(5000)))
        try files.close()
        #expect(try findings(device) == [])
    }

    /// Blocks that two files have without sharing them: the second to let go is told, and nothing is freed twice.
    @Test(arguments: [false, true]) func blocksAreNotFreedTwice(commits: Bool) throws {
        let other = try files.make("other")
        let extents = try files.store.look { tree throws(TreeError) in
            try tree.extents(file.rawValue, in: 0..<64)
        }
        try files.store.change { tree throws(TreeError) in
            for extent in extents {
                try tree.insert(ItemKey(other.rawValue, .extent, extent.fileBlock), extent.stored)
            }
        }
        files.committer.noteChange()
        try files.sync()
        try files.remove(Name("file"), in: files.root, .nonDirectory)
        if commits { try files.sync() }
        try files.remove(Name("other"), in: files.root, .nonDirectory)
        #expect(log.all.contains { $0.contains("inode \(other.rawValue)") || $0.contains("freed") })
        #expect(files.traits.readOnly)
    }

    @Test func blocksOutsideOfTheFilesystemAreNotFreed() throws {
        try files.store.change { tree throws(TreeError) in
            try tree.insert(
                ItemKey(file.rawValue, .extent, 900), Extent(fileBlock: 900, first: 1 << 40, count: 1).stored)
        }
        files.committer.noteChange()
        #expect(errno { try files.setSize(0, of: file) } == .ioError)
        #expect(files.traits.readOnly && !log.all.isEmpty)
    }

    /// Runs between two commits, when all there is is durable.
    @Test func quiescedIsBetweenCommits() throws {
        try files.write([7], to: file, at: 0)
        var seen = 0
        try files.quiesced {
            seen += 1
            do {
                let copy = try EncFS(mounting: device.crash(), .quiet)
                #expect(try copy.read(try copy.find("file"), count: 1) == [7])
            } catch { Issue.record("\(error)") }
        }
        #expect(seen == 1)
        var options = EncFS.MountOptions.quiet
        options.readOnly = true
        let reader = try EncFS(mounting: device.crash(), options)
        #expect(errno { try reader.quiesced { Issue.record("ran") } } == .readOnlyFileSystem)
    }

    /// Told without mounting: what is no filesystem, what is one, what was one, and a device that does not answer.
    @Test func presenceIsTold() throws {
        #expect(try EncFS.isPresent(on: device))
        let empty = SimBlockDevice(blocks: 1024)
        #expect(try !EncFS.isPresent(on: empty))
        let damaged = device.crash()
        var block = [UInt8](repeating: 0, count: blockBytes)
        try block.withUnsafeMutableBytes { try damaged.read(LogicalBlock(0), into: $0) }
        block[13] = 0xFF
        try block.withUnsafeBytes { try damaged.write(LogicalBlock(0), $0) }
        #expect(try EncFS.isPresent(on: damaged))
        damaged.damage(LogicalBlock(0))
        #expect(throws: EncFSError.self) { try EncFS.isPresent(on: damaged) }
    }

    /// Truncating and sharing by somebody unprivileged take privileges away, as writing does.
    @Test func privilegesGoWithTheBytes() throws {
        let names = [Array("security.capability".utf8)]
        func prepare(_ name: String) throws -> NodeID {
            let node = try files.make(name, permissions: 0o6755)
            try files.write(pattern(9000, seed: 2), to: node, at: 0)
            var change = AttributeChange()
            change.permissions = 0o6755
            _ = try files.setAttributes(node, change, by: .root)
            try files.setExtendedAttribute(names[0], of: node, to: [1, 2], .create)
            return node
        }
        let cut = try prepare("cut"), target = try prepare("target")
        var change = AttributeChange()
        change.size = 100
        change.clearsPrivileges = true
        #expect(try files.setAttributes(cut, change, by: .root).permissions == 0o755)
        try files.clone(file, 0..<4096, to: target, at: 0, .clearsPrivileges)
        #expect(try files.attributes(target).permissions == 0o755)
        for node in [cut, target] { #expect(try files.extendedAttributeNames(of: node) == []) }
    }

    /// Ranges of very many extents are freed, shared and taken out in several steps.
    @Test func longChainsOfExtentsComeToTheirEnd() throws {
        let other = try files.make("other"), target = try files.make("target")
        let block = [UInt8](repeating: 3, count: blockBytes)
        for index: UInt64 in 0..<200 {
            for node in [target, other] { try files.write(block, to: node, at: index * 2 * 4096) }
        }
        let size = try files.attributes(target).size
        try files.clone(file, 0..<4096 * 12, to: target, at: 4096 * 300, [])
        let wide = try files.make("wide")
        try files.setSize(4096 * 400, of: wide)
        try files.clone(wide, 0..<4096 * 390, to: target, at: 0, [])
        #expect(try files.read(target, count: 4096) == [UInt8](repeating: 0, count: 4096))
        #expect(try files.attributes(target).size == size)
        try files.allocate(other, .none, 0..<4096 * 390, .collapse)
        #expect(try files.attributes(other).size == 4096 * 9)
        try files.close()
        #expect(try findings(device) == [])
    }
}
