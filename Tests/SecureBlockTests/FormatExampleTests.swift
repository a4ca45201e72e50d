import Glibc
import Testing

@testable import SecureBlock

/// The worked examples of docs/FORMAT.md, made again from their inputs.
@Suite struct FormatExampleTests {
    private static let volumeKey: [UInt8] = Array(0..<32)
    private static let volume: [UInt8] = Array(0x40..<0x50)

    private static func keys() throws -> VolumeKeys {
        try VolumeKeys(
            volumeKey: try volumeKey.withUnsafeBytes { try SecretBytes(copying: $0) },
            volume: volume.withUnsafeBytes { VolumeIdentifier(loading: $0) })
    }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { byte in
            let digits = Array("0123456789abcdef")
            return String([digits[Int(byte >> 4)], digits[Int(byte & 15)]])
        }.joined()
    }

    /// The hexadecimal digits of the example `name` in the document.
    private static func documented(_ name: String) throws -> String {
        let path = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let file = try #require(fopen("/" + path + "/docs/FORMAT.md", "r"))
        defer { fclose(file) }
        var text = ""
        var line = [CChar](repeating: 0, count: 4096)
        while fgets(&line, Int32(line.count), file) != nil {
            text += String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        let parts = text.split(separator: "```example " + name + "\n", maxSplits: 1)
        try #require(parts.count == 2, "no example \(name)")
        let body = try #require(parts[1].split(separator: "```", maxSplits: 1).first)
        return body.filter { $0.isHexDigit }.lowercased()
    }

    @Test func superblock() throws {
        let keys = try Self.keys()
        let superblock = Superblock(
            segmentBlocksLog2: 10, volume: keys.volume, createdMilliseconds: 1_700_000_000_000)
        let buffer = try superblock.serialise(key: try #require(try keys.superblockKey()))
        let stored = Array(buffer.bytes)
        #expect(stored[64..<4032].allSatisfy { $0 == 0 })
        #expect(try Self.hex(stored[..<64]) + Self.hex(stored[4032...]) == Self.documented("superblock"))
    }

    @Test func recordHeader() throws {
        let keys = try Self.keys()
        let epoch = Epoch(identifier: Tag(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908))
        let key = try #require(try keys.epochKey(epoch, .aes256GCM))
        let geometry = Geometry(segmentBlocks: 1024, segmentCount: 10, logicalBlocks: 4096)
        let position = LogPosition(segment: 2, block: 5)
        let data = AlignedBuffer(byteCount: blockBytes), sealed = AlignedBuffer(byteCount: blockBytes)
        for index in 0..<blockBytes { data.bytes[index] = UInt8(truncatingIfNeeded: index) }
        let physical = geometry.physical(LogPosition(segment: 2, block: 6))
        let tag = try key.seal(
            UnsafeRawBufferPointer(data.bytes), into: #require(sealed.bytes.baseAddress), at: physical,
            Generation(1), as: BlockAssociation(.data, address: 7))
        var header = RecordHeader(
            dataBlocks: 1, epoch: epoch.identifier, sequence: SequenceNumber(3), position: position,
            generation: Generation(1), previousTag: Tag(low: 1, high: 2), flags: .commit, stream: .user,
            durable: SequenceNumber(2), next: SegmentReference(segment: 3, generation: Generation(1)),
            timeMilliseconds: 1_700_000_000_000,
            entries: [RecordEntry(BlockAssociation(.data, address: 7), tag: tag)])
        let block = AlignedBuffer(byteCount: blockBytes)
        try header.seal(into: block.bytes, at: geometry.physical(position), key)
        let stored = Array(block.bytes), cipher = Array(sealed.bytes)
        #expect(try Self.hex(cipher[..<32]) == Self.documented("data-block"))
        #expect(try Self.hex(stored[..<160]) == Self.documented("record-header"))
        // And what is documented opens again to what was put in.
        let clear = try #require(ClearRecordHeader(UnsafeRawBufferPointer(block.bytes)))
        let scratch = AlignedBuffer(byteCount: blockBytes)
        let opened = try #require(
            try RecordHeader.open(
                UnsafeRawBufferPointer(block.bytes), clear, at: geometry.physical(position), key,
                scratch: scratch.bytes))
        #expect(opened.entries == header.entries && opened.isCommit && opened.next == header.next)
    }

    @Test func image() throws {
        let host = MemoryBlockHost()
        let root = try ImageSubject.write(
            (0..<3).map { number in (0..<blockBytes).map { UInt8(truncatingIfNeeded: $0 + number) } }, on: host)
        #expect(try Self.hex(host.bytes[..<64]) == Self.documented("image-header"))
        #expect(try Self.hex(host.bytes[4 * blockBytes..<4 * blockBytes + 96]) == Self.documented("image-page"))
        #expect(try root.description == Self.documented("image-root"))
        #expect(try ImageSubject.documentedRoot(host.bytes) == root.description)
    }
}
