import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

@Suite struct FileTests {
    @Test(arguments: [4096, 8192, 16384, 32768])
    func filesSurviveRemount(nodeBytes: Int) throws {
        let device = try freshDevice(nodeBytes: nodeBytes)
        let files = try EncFS(mounting: device, .quiet)
        let directory = try files.make("d", kind: .directory, permissions: 0o755)
        let sizes = [0, 1, 511, 512, 513, 2048, 2049, 4095, 4096, 4097, 70_000, 1 << 20, (3 << 20) + 5]
        for size in sizes {
            let node = try files.make("f\(size)", in: directory)
            #expect(try files.write(pattern(size, seed: UInt64(size)), to: node, at: 0) == size)
        }
        try files.close()
        #expect(try findings(device) == [])
        let again = try EncFS(mounting: device.crash(), .quiet)
        let found = try again.find("d")
        #expect(try again.names(in: found) == sizes.map { "f\($0)" })
        for size in sizes {
            let node = try again.find("f\(size)", in: found)
            #expect(try again.attributes(node).size == UInt64(size))
            #expect(try again.read(node, count: size + 10) == pattern(size, seed: UInt64(size)))
        }
        for size in sizes { try again.remove(Name("f\(size)"), in: found, .nonDirectory) }
        try again.remove(Name("d"), in: again.root, .directory)
        #expect(try again.names() == [])
        try again.close()
    }

    @Test func unalignedWritesAndTruncations() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("f")
        var generator = SimRandom(seed: 11)
        var model: [UInt8] = []
        for step in 0..<400 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<7:
                let offset = Int.random(in: 0..<60_000, using: &generator)
                let bytes = pattern(.random(in: 1..<9000, using: &generator), seed: generator.next())
                if model.count < offset + bytes.count {
                    model += repeatElement(0, count: offset + bytes.count - model.count)
                }
                model.replaceSubrange(offset..<offset + bytes.count, with: bytes)
                try files.write(bytes, to: node, at: UInt64(offset))
            default:
                let size = Int.random(in: 0..<70_000, using: &generator)
                if size < model.count {
                    model.removeLast(model.count - size)
                } else {
                    model += repeatElement(0, count: size - model.count)
                }
                try files.setSize(UInt64(size), of: node)
            }
            if step % 20 == 0 {
                #expect(try files.read(node, count: 100_000) == model, "step \(step)")
                let offset = Int.random(in: 0..<60_000, using: &generator)
                let count = Int.random(in: 0..<9000, using: &generator)
                #expect(
                    try files.read(node, at: UInt64(offset), count: count)
                        == Array(model.dropFirst(offset).prefix(count)))
            }
        }
        try files.close()
        #expect(try findings(device) == [])
    }

    @Test func sparseFilesReachTheLimit() throws {
        let device = try freshDevice()
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("big")
        let far = UInt64(Int64.max) - 4
        #expect(try files.write([1, 2, 3, 4], to: node, at: far) == 4)
        #expect(try files.attributes(node).size == UInt64(Int64.max))
        #expect(try files.attributes(node).blocks512 == 8)
        #expect(try files.read(node, at: far - 4, count: 100) == [0, 0, 0, 0, 1, 2, 3, 4])
        #expect(errno { try files.write([1], to: node, at: UInt64(Int64.max)) } == .fileTooLarge)
        #expect(errno { try files.setSize(UInt64(Int64.max) + 1, of: node) } == .fileTooLarge)
        #expect(try files.write([5, 6], to: node, at: far + 3) == 1)
        try files.write([9], to: node, at: 5 << 30)
        #expect(try files.seek(node, .none, from: 0, to: .data) == 5 << 30)
        #expect(try files.seek(node, .none, from: 5 << 30, to: .hole) == (5 << 30) + 4096)
        try files.setSize(999_999_999_999_999, of: node)
        try files.setSize(3, of: node)
        #expect(try files.read(node, count: 10) == [0, 0, 0])
        #expect(try files.attributes(node).blocks512 == 0)
        try files.close()
        #expect(try findings(device) == [])
    }

    @Test func sequentialWritesBecomeLargeRuns() throws {
        let device = try freshDevice(blocks: 32768)
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("f")
        let other = try files.make("g")
        for index in 0..<64 {
            try files.write(pattern(128 << 10, seed: UInt64(index)), to: node, at: UInt64(index) << 17)
            try files.write(pattern(128 << 10, seed: UInt64(index)), to: other, at: UInt64(index) << 17)
        }
        // Two files written side by side still lie in stretches, not block by block.
        #expect(try files.dataBlocks(of: node).count <= 6)
        let before = device.counters.reads
        #expect(try files.read(node, at: 0, count: 1 << 20).count == 1 << 20)
        #expect(device.counters.reads - before <= 3)
        try files.close()
        #expect(try findings(device) == [])
    }

    @Test func unreadableDataNamesTheFile() throws {
        let device = try freshDevice()
        let log = FaultLog()
        var options = EncFS.MountOptions.quiet
        options.reportFault = { log.add($0) }
        let files = try EncFS(mounting: device, options)
        let directory = try files.make("etc", kind: .directory)
        let node = try files.make("secret", in: directory)
        try files.write(pattern(20_000, seed: 1), to: node, at: 0)
        try files.sync()
        let block = try files.dataBlocks(of: node)[0].first.rawValue + 2
        device.damage(LogicalBlock(block))
        do {
            _ = try files.read(node, count: 20_000)
            Issue.record("read a damaged block")
        } catch let error as VFSError {
            #expect(error.errno == .ioError)
            let text =
                "/etc/secret: bytes 8192..<12288: logical block \(block): physical block \(block): tag does not match"
            #expect(error.fault == text)
            #expect(log.all == [text])
        }
        #expect(try files.read(node, at: 0, count: 8192) == Array(pattern(20_000, seed: 1).prefix(8192)))
        // One bad data block ends nothing else.
        _ = try files.make("other")
        try files.sync()
        #expect(try findings(device).count == 1)
    }

    @Test func unreadableMetadataLatches() throws {
        let device = try freshDevice(nodeBytes: 4096)
        let files = try EncFS(mounting: device, .quiet)
        for index in 0..<300 { _ = try files.make("file number \(index)") }
        try files.close()
        let superblock = try EncFS.readSuperblock(device)
        #expect(superblock.rootLevel > 0)
        let log = FaultLog()
        var options = EncFS.MountOptions.quiet
        options.reportFault = { log.add($0) }
        let again = try EncFS(mounting: device, options)
        for block in superblock.dataStart..<superblock.dataStart + 200 where block != superblock.root {
            device.damage(LogicalBlock(block))
        }
        #expect(errno { for index in 0..<300 { _ = try again.find("file number \(index)") } } == .ioError)
        #expect(errno { try again.make("more") } == .readOnlyFileSystem)
        #expect(log.all.count == 1)
        #expect(throws: EncFSError.self) { try again.close() }
    }
}
