import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

@Suite struct CommitTests {
    @Test func unlinkedFilesLiveUntilTheLastClose() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let entry = try files.make(
            NewNode(kind: .regular, permissions: 0o600), named: Name("f"), in: files.root, by: .root)
        let handle = try files.open(entry.node, [.read, .write])
        try files.write(pattern(100_000, seed: 4), to: entry.node, at: 0)
        let free = try files.statistics().freeBlocks
        try files.remove(Name("f"), in: files.root, .nonDirectory)
        files.forget(entry.node, count: 1)
        #expect(try files.read(entry.node, count: 100_000) == pattern(100_000, seed: 4))
        #expect(try files.attributes(entry.node).linkCount == 0)
        #expect(errno { try files.link(entry.node, as: Name("back"), in: files.root) } == .noSuchFileOrDirectory)
        files.close(entry.node, handle)
        #expect(errno { try files.attributes(entry.node) } == .noSuchFileOrDirectory)
        #expect(try files.statistics().freeBlocks == free + 25)
        try files.close()
        #expect(try findings(device) == [])
    }

    @Test func orphansGoAtTheNextMount() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let directory = try files.make("d", kind: .directory)
        let handle = try files.open(directory, .directory)
        let node = try files.make("f")
        let open = try files.open(node, .read)
        try files.write(pattern(50_000, seed: 1), to: node, at: 0)
        try files.setExtendedAttribute(Array("user.big".utf8), of: node, to: pattern(30_000, seed: 2), .create)
        let unnamed = try files.make(
            NewNode(kind: .regular, permissions: 0o600), named: nil, in: files.root, by: .root)
        try files.write(pattern(9000, seed: 3), to: unnamed.node, at: 0)
        try files.remove(Name("f"), in: files.root, .nonDirectory)
        try files.remove(Name("d"), in: files.root, .directory)
        #expect(errno { try files.make("in a removed directory", in: directory) } == .noSuchFileOrDirectory)
        try files.sync()
        let crashed = device.crash()
        let found = try findings(crashed)
        #expect(found.count == 3 && found.allSatisfy { $0.hasPrefix("note: orphan") })
        let again = try EncFS(mounting: crashed, .quiet)
        try again.close()
        #expect(try findings(crashed) == [])
        #expect(try EncFS.readSuperblock(crashed).inodes == 1)
        // A file made without a name may get one.
        _ = try files.link(unnamed.node, as: Name("named"), in: files.root)
        files.close(node, open)
        files.close(directory, handle)
        try files.close()
        #expect(try findings(device) == [])
        #expect(try files.names() == ["named"])
    }

    /// A truncation of more extents than one operation frees, cut off after every commit.
    @Test func interruptedTruncationsAreFinished() throws {
        let device = try freshDevice(nodeBytes: 4096)
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("f")
        for index in 0..<200 { try files.write([UInt8(index)], to: node, at: UInt64(index) * 8192) }
        try files.sync()
        let inode = try files.table.use(node)
        let now = Timestamp(seconds: 77, nanoseconds: 0)
        // The first operation of the chain alone, as a crash would leave it.
        try files.store.change { tree throws(TreeError) in
            var record = try tree.inode(node.rawValue, files.table)
            record.size = 8192
            record.changeTime = now
            try tree.set(ItemKey(ItemKey.filesystem, .trimIntent, node.rawValue), StoredNumbers.encode([2]))
            try tree.storeInode(node.rawValue, record, files.table)
        }
        files.committer.noteChange()
        try files.sync()
        #expect(try findings(device.crash(), readData: false).allSatisfy { $0.hasPrefix("note: intent") })
        let crashed = device.crash()
        try EncFS(mounting: crashed, .quiet).close()
        #expect(try findings(crashed) == [])
        #expect(try EncFS.readSuperblock(crashed).freeBlocks > EncFS.readSuperblock(device).freeBlocks)
        files.finish(inode)
        // And the whole chain, in one go.
        let other = try files.make("g")
        for index in 0..<200 { try files.write([UInt8(index)], to: other, at: UInt64(index) * 8192) }
        try files.setSize(5000, of: other)
        #expect(try files.attributes(other).blocks512 == 8)
        try files.write([5], to: other, at: 20_000)
        #expect(try files.read(other, at: 4096, count: 4096) == [UInt8](repeating: 0, count: 4096))
    }

    @Test func overwritingKeepsDatasyncSmall() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("f")
        try files.write(pattern(1 << 20, seed: 1), to: node, at: 0)
        try files.sync()
        let before = device.counters
        try files.write(pattern(4096, seed: 2), to: node, at: 40960)
        try files.commit(node, dataOnly: true).wait()
        let after = device.counters
        #expect(after.blocksWritten - before.blocksWritten == 1)
        #expect(after.commits - before.commits == 1)
        let crashed = try EncFS(mounting: device.crash(), .quiet)
        #expect(try crashed.read(crashed.find("f"), at: 40960, count: 4096) == pattern(4096, seed: 2))
        // Nothing new: nothing to do.
        try files.commit(node, dataOnly: true).wait()
        #expect(device.counters.commits == after.commits)
        // A whole sync still brings the times.
        let times = try files.attributes(node)
        try files.sync()
        let last = try EncFS(mounting: device.crash(), .quiet)
        #expect(try last.attributes(last.find("f")) == times)
    }

    @Test func smallFilesCostLittle() throws {
        let device = try freshDevice(blocks: 65536)
        let files = try EncFS(mounting: device, .quiet)
        let before = device.counters
        for index in 0..<1000 {
            let node = try files.make("file \(index)")
            try files.write(pattern(1500, seed: UInt64(index)), to: node, at: 0)
        }
        try files.sync()
        let written = device.counters.blocksWritten - before.blocksWritten
        // 1.5 MB of content; nodes half full at worst.
        #expect(written < 1200, "\(written) blocks")
    }

    @Test func timerCommitsByItself() throws {
        let device = try freshDevice()
        var options = EncFS.MountOptions()
        options.commitIntervalMilliseconds = 5
        let files = try EncFS(mounting: device, options)
        let before = device.durableCommit
        _ = try files.make("f")
        for _ in 0..<1000 where device.durableCommit <= before { nap(milliseconds: 5) }
        #expect(device.durableCommit > before)
        try files.close()
    }

    @Test(arguments: [DeviceError.latched("flush failed"), .noSpace, .commitRequired])
    func failedCommitLatches(_ error: DeviceError) throws {
        for count in 0..<6 {
            let device = try freshDevice()
            let log = FaultLog()
            var options = EncFS.MountOptions.quiet
            options.reportFault = { log.add($0) }
            let files = try EncFS(mounting: device, options)
            let kept = try files.make("kept")
            try files.write(pattern(300, seed: 1), to: kept, at: 0)
            try files.sync()
            _ = try files.make("lost")
            device.setFault(.writesAfter(count, error))
            guard errno({ try files.sync() }) != nil else { continue }
            #expect(errno { try files.make("more") } == .readOnlyFileSystem)
            #expect(files.traits.readOnly)
            #expect(try files.names() == ["kept", "lost"])
            #expect(log.all.count == 1)
            #expect(throws: EncFSError.self) { try files.close() }
            let crashed = device.crash()
            #expect(try findings(crashed) == [])
            #expect(try EncFS(mounting: crashed, .quiet).names() == ["kept"])
        }
    }

    @Test func lostDurabilityIsReportedToTheWaiter() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        _ = try files.make("f")
        device.setFault(.commits("anchor unreachable"))
        #expect(errno { try files.sync() } == .ioError)
        #expect(errno { try files.make("g") } == .readOnlyFileSystem)
    }

    @Test func readOnlyMountsWriteNothing() throws {
        let device = try freshDevice()
        try EncFS(mounting: device, .quiet).close()
        let before = device.counters
        var options = EncFS.MountOptions.quiet
        options.readOnly = true
        let files = try EncFS(mounting: device, options)
        #expect(errno { try files.make("f") } == .readOnlyFileSystem)
        #expect(errno { try files.open(files.root, []) } == nil)
        #expect(try files.names() == [])
        try files.sync()
        try files.close()
        #expect(device.counters.blocksWritten == before.blocksWritten)
        #expect(device.counters.commits == before.commits)
    }

    @Test func mountRefusesWhatIsNoFilesystem() throws {
        func failure(_ device: SimBlockDevice) -> EncFSError? {
            do throws(EncFSError) {
                _ = try EncFS(mounting: device, .quiet)
                return nil
            } catch { return error }
        }
        #expect(failure(SimBlockDevice(blocks: 8192)) == .notFormatted)
        #expect(failure(SimBlockDevice(blocks: 4)) == .notFormatted)
        func changed(_ offset: Int, _ byte: UInt8) throws -> EncFSError? {
            let device = try freshDevice()
            var superblock = try EncFS.readSuperblock(device).stored
            superblock[offset] = byte
            try superblock.withUnsafeBytes { try device.write(LogicalBlock(0), $0) }
            return failure(device)
        }
        #expect(try changed(0, 0) == .notFormatted)
        #expect(try changed(8, 2) == .newerVersion)
        #expect(try changed(24, 1) == .unknownFeatures)
        #expect(try changed(32, 2) == .unknownFeatures)
        for offset in [12, 76, 90, 96, 111] {
            guard case .corrupt = try changed(offset, 0xFF) else {
                Issue.record("byte \(offset) accepted")
                continue
            }
        }
        var tiny = EncFS.FormatOptions()
        tiny.nodeBytes = 5000
        #expect(throws: EncFSError.self) { try EncFS.format(SimBlockDevice(blocks: 8192), tiny) }
        #expect(throws: EncFSError.noSpace) { try EncFS.format(SimBlockDevice(blocks: 100), .init()) }
    }
}
