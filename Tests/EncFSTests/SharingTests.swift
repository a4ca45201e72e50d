import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// Files that share blocks, and ranges that move within files.
@Suite struct SharingTests {
    private func clone(_ files: EncFS, _ source: NodeID, _ target: NodeID) throws {
        let size = try files.attributes(source).size
        try files.clone(source, 0..<size, to: target, at: 0, [])
    }

    @Test func copiesTakeNoSpaceUntilTheyAreWritten() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let bytes = pattern(1_000_001, seed: 1)
        let source = try files.make("source")
        try files.write(bytes, to: source, at: 0)
        let free = try files.statistics().freeBlocks
        let copies = try (0..<5).map { try files.make("copy \($0)") }
        for copy in copies { try clone(files, source, copy) }
        #expect(try files.statistics().freeBlocks == free)
        #expect(try files.attributes(copies[0]).blocks512 == 245 * 8)
        // One byte in the middle of a block, and one at the end of file.
        try files.write([1], to: copies[1], at: 500_000)
        try files.write([2], to: copies[1], at: 1_000_000)
        #expect(try files.statistics().freeBlocks == free - 2)
        var changed = bytes
        changed[500_000] = 1
        changed[1_000_000] = 2
        #expect(try files.read(copies[1], count: 1_100_000) == changed)
        for file in [source] + copies where file != copies[1] {
            #expect(try files.read(file, count: 1_100_000) == bytes)
        }
        try files.sync()
        #expect(try findings(device) == [])
        for name in ["source", "copy 0", "copy 1", "copy 2", "copy 3"] {
            try files.remove(Name(name), in: files.root, .nonDirectory)
        }
        #expect(try files.read(copies[4], count: 1_100_000) == bytes)
        // The last one overwrites in place again.
        let before = try files.statistics().freeBlocks
        try files.write([3], to: copies[4], at: 4096)
        #expect(try files.statistics().freeBlocks == before)
        try files.remove(Name("copy 4"), in: files.root, .nonDirectory)
        try files.close()
        #expect(try findings(device) == [])
        #expect(device.liveBlocks < 20)
    }

    @Test func whatCannotBeSharedIsRefused() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let (source, target) = (try files.make("a"), try files.make("b"))
        try files.write(pattern(10_000, seed: 1), to: source, at: 0)
        try files.write(pattern(30_000, seed: 2), to: target, at: 0)
        for (range, offset) in [(100..<5000, 0), (0..<4096, 7), (0..<10_000, 0), (0..<12_288, 0), (0..<100, 0)] {
            let range = UInt64(range.lowerBound)..<UInt64(range.upperBound)
            let got = errno { try files.clone(source, range, to: target, at: UInt64(offset), []) }
            #expect(got == .invalidArgument, "\(range) at \(offset)")
        }
        #expect(errno { try files.clone(target, 0..<8192, to: target, at: 4096, []) } == .invalidArgument)
        #expect(errno { try files.clone(source, 0..<4096, to: files.root, at: 0, []) } == .isDirectory)
        #expect(errno { try files.clone(source, 0..<4096, to: target, at: 1 << 63, []) } == .fileTooLarge)
        #expect(try files.read(target, count: 40_000) == pattern(30_000, seed: 2))
        try files.clone(target, 0..<8192, to: target, at: 8192, [])
        #expect(try files.read(target, at: 8192, count: 8192) == Array(pattern(30_000, seed: 2).prefix(8192)))
        // A small file's bytes leave the tree first.
        let small = try files.make("small")
        try files.write([1, 2, 3], to: small, at: 0)
        let copy = try files.make("copy")
        try clone(files, small, copy)
        #expect(try files.read(copy, count: 10) == [1, 2, 3])
        try files.close()
        #expect(try findings(device) == [])
    }

    /// A truncation in the middle of a shared block leaves the other file's bytes.
    @Test func truncationKeepsTheOthersBytes() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let bytes = pattern(20_000, seed: 1)
        let (source, copy) = (try files.make("a"), try files.make("b"))
        try files.write(bytes, to: source, at: 0)
        try clone(files, source, copy)
        try files.setSize(5000, of: copy)
        try files.setSize(9000, of: copy)
        #expect(try files.read(copy, count: 9000) == Array(bytes.prefix(5000)) + [UInt8](repeating: 0, count: 4000))
        try files.allocate(source, .none, 100..<300, .punchHole)
        try files.allocate(source, .none, 0..<16_384, .collapse)
        #expect(try files.read(source, count: 9000) == Array(bytes[16_384...]))
        #expect(try files.read(copy, count: 5000) == Array(bytes.prefix(5000)))
        try files.close()
        #expect(try findings(device) == [])
    }

    /// A device that fails at any write of an overwrite of shared blocks: both files read as before or after.
    @Test func failedWritesLeaveSharedBlocks() throws {
        for stop in 0..<12 {
            let device = try freshDevice(nodeBytes: 4096)
            let files = try EncFS(mounting: device, .quiet)
            let bytes = pattern(60_000, seed: 1)
            let (source, copy) = (try files.make("a"), try files.make("b"))
            try files.write(bytes, to: source, at: 0)
            try clone(files, source, copy)
            // Scattered, so that the overwrite below needs several device writes.
            for block in stride(from: 1, to: 14, by: 3) {
                try files.write(pattern(4096, seed: UInt64(block)), to: copy, at: UInt64(block) * 4096)
            }
            try files.sync()
            let before = try files.read(copy, count: 60_000)
            device.setFault(.oneWriteAfter(stop, .noSpace))
            let new = pattern(50_000, seed: 77)
            var written = 0
            do { written = try files.write(new, to: copy, at: 3000) } catch {}
            device.setFault(nil)
            var expected = before
            expected.replaceSubrange(3000..<3000 + written, with: new.prefix(written))
            #expect(try files.read(copy, count: 60_000) == expected, "stopped at \(stop), \(written) written")
            #expect(try files.read(source, count: 60_000) == bytes, "stopped at \(stop)")
            try files.close()
            #expect(try findings(device) == [], "stopped at \(stop)")
        }
    }

    /// A move of more extents than one operation takes, cut off after every operation.
    @Test(arguments: [AllocationMode.collapse, .insert])
    func interruptedMovesAreFinished(_ mode: AllocationMode) throws {
        let device = try freshDevice(nodeBytes: 4096)
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("f")
        for index in 0..<300 { try files.write([UInt8(index % 250 + 1)], to: node, at: UInt64(index) * 8192) }
        var expected = try files.read(node, count: 3_000_000)
        try files.sync()
        let inode = try files.table.use(node)
        // The first operation of the chain alone, as a crash would leave it.
        try files.store.change { tree throws(TreeError) in
            var record = try tree.inode(node.rawValue, files.table)
            let isUpwards = mode == .insert
            record.size = isUpwards ? record.size + 16_384 : record.size - 16_384
            if !isUpwards {
                let (freed, _) = try tree.freeBlocks(node.rawValue, in: 4..<8, limit: .max)
                record.blocks -= freed
            }
            let intent = ShiftIntent(
                from: isUpwards ? 4 : 8, distance: 4, position: isUpwards ? EncFS.blocksEnd : 8,
                isUpwards: isUpwards)
            try tree.set(ItemKey(ItemKey.filesystem, .shiftIntent, node.rawValue), intent.stored)
            try tree.storeInode(node.rawValue, record, files.table)
        }
        inode.isShifting = true
        if mode == .insert {
            expected.insert(contentsOf: repeatElement(0, count: 16_384), at: 16_384)
        } else {
            expected.removeSubrange(16_384..<32_768)
        }
        files.committer.noteChange()
        try files.sync()
        let half = device.crash()
        #expect(try findings(half, readData: false).allSatisfy { $0.hasPrefix("note: intent") })
        var readOnly = EncFS.MountOptions.quiet
        readOnly.readOnly = true
        #expect(errno { try EncFS(mounting: half, readOnly).read(node, count: 10) } == .ioError)
        let again = try EncFS(mounting: half, .quiet)
        #expect(try again.read(node, count: 3_100_000) == expected)
        try again.close()
        #expect(try findings(half) == [])
        // Whoever reads first finishes it.
        #expect(try files.read(node, count: 3_100_000) == expected)
        files.finish(inode)
        try files.close()
        #expect(try findings(device) == [])
    }

    @Test func checkFindsWrongCounts() throws {
        let device = try freshDevice(nodeBytes: 4096)
        let files = try EncFS(mounting: device, .quiet)
        let (source, copy) = (try files.make("a"), try files.make("b"))
        try files.write(pattern(40_000, seed: 1), to: source, at: 0)
        try clone(files, source, copy)
        let first = try #require(try files.dataBlocks(of: source).first).first.rawValue
        let key = ItemKey(ItemKey.filesystem, .sharedRun, first)
        try files.store.change { tree throws(TreeError) in
            try tree.set(key, SharedRun(first..<first + 10, references: 3).stored)
        }
        files.committer.noteChange()
        try files.sync()
        #expect(try findings(device).contains { $0.contains("reference-count") })
        try files.store.change { tree throws(TreeError) in _ = try tree.remove(key) }
        files.committer.noteChange()
        try files.sync()
        #expect(try findings(device).contains { $0.contains("block-shared") })
    }
}
