import Foundation
import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

@Suite struct FormatTests {
    /// The worked example of `docs/FORMAT-EncFS.md` is what formatting writes.
    @Test func workedExampleIsWhatFormatWrites() throws {
        let document = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../docs/FORMAT-EncFS.md")
        let text = try String(contentsOf: document, encoding: .utf8)
        let example = try #require(text.components(separatedBy: "## A worked example").last)
        let lines = example.split(separator: "\n").filter { $0.hasPrefix("    ") }
        let bytes = lines.flatMap { $0.split(separator: " ").compactMap { UInt8($0, radix: 16) } }
        #expect(bytes.count == 16 + 56)
        let device = try freshDevice()
        func read(_ block: UInt64) throws -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: 4096)
            try bytes.withUnsafeMutableBytes { try device.read(LogicalBlock(block), into: $0) }
            return bytes
        }
        #expect(Array(bytes.prefix(16)) == Array(try read(0).prefix(16)))
        #expect(Array(bytes.dropFirst(16)) == Array(try read(4).prefix(56)))
        #expect(Array(try read(2).prefix(2)) == [0xF7, 0])
        let superblock = try EncFS.readSuperblock(device)
        #expect((superblock.root, superblock.reserveStart, superblock.freeBlocks) == (4, 7936, 8185))
    }

    /// What a type writes it reads back, and cut or stretched bytes it refuses.
    @Test func itemsRoundTripAndRefuseOtherLengths() throws {
        let time = Timestamp(seconds: -7, nanoseconds: 999_999_999)
        var inode = Inode(
            kind: .blockDevice, permissions: 0o7777, flags: .all, linkCount: .max, owner: 1, group: 2,
            size: 1 << 40,
            blocks: 9, device: 77, accessTime: time, modificationTime: .zero, changeTime: time, birthTime: .zero)
        inode.size = UInt64(Int64.max)
        let extent = Extent(fileBlock: 5, first: 99, count: Extent.maximumBlocks)
        let entry = DirectoryItem(inode: 8, kind: .socket, name: try Name("a b"))
        let attribute = AttributeItem(name: Array("user.x".utf8), valueBytes: 3, value: [1, 2, 3])
        #expect(inode.stored.count == Inode.storedBytes && extent.stored.count == Extent.storedBytes)
        func parses(_ bytes: [UInt8], _ parse: (UnsafeRawBufferPointer) throws(StoredError) -> Bool) -> Bool {
            bytes.withUnsafeBytes { source in
                do throws(StoredError) { return try parse(source) } catch { return false }
            }
        }
        let parsers: [([UInt8], (UnsafeRawBufferPointer) throws(StoredError) -> Bool)] = [
            (inode.stored, { (bytes) throws(StoredError) in try Inode(stored: bytes) == inode }),
            (extent.stored, { (bytes) throws(StoredError) in try Extent(fileBlock: 5, stored: bytes) == extent }),
            (entry.stored, { (bytes) throws(StoredError) in try DirectoryItem(stored: bytes) == entry }),
            (attribute.stored, { (bytes) throws(StoredError) in try AttributeItem(stored: bytes) == attribute }),
        ]
        for (bytes, parse) in parsers {
            #expect(parses(bytes, parse))
            for count in 0..<bytes.count { #expect(!parses(Array(bytes.prefix(count)), parse)) }
            #expect(!parses(bytes + [0], parse))
        }
    }

    @Test func bitmapsKeepFreedBlocksApart() throws {
        var stored = [UInt8](repeating: 0, count: 4096)
        stored[0] = 0x0F
        let group = try stored.withUnsafeBytes { try BitmapGroup(number: 0, stored: $0) }
        #expect(group.free == 32764)
        #expect(group.nextFree(in: 0..<32768) == 4)
        group.take(4..<200)
        #expect(group.nextFree(in: 0..<32768) == 200 && group.nextUsed(in: 200..<32768) == 32768)
        group.release(10..<70)
        group.release(128..<192)
        #expect(group.nextFree(in: 0..<32768) == 200, "freed blocks are not given again before a commit")
        #expect(!group.isAllocated(60..<61) && group.isAllocated(70..<71))
        #expect(group.settle() == [10..<70, 128..<192])
        #expect(group.nextFree(in: 0..<32768) == 10 && group.free == 32764 - 196 + 124)
        let again = try group.stored.withUnsafeBytes { try BitmapGroup(number: 0, stored: $0) }
        #expect(again.free == group.free && again.nextUsed(in: 10..<300) == 70)
    }

    @Test func unsuitableOptionsAreRefused() {
        for (blocks, nodeBytes) in [(8192, 5000), (8192, 1 << 20)] as [(UInt64, Int)] {
            let failure = #expect(throws: EncFSError.self) {
                try freshDevice(blocks: blocks, nodeBytes: nodeBytes)
            }
            guard case .unsuitableOptions = failure else {
                Issue.record("nodes of \(nodeBytes) bytes: \(String(describing: failure))")
                continue
            }
        }
    }
}
