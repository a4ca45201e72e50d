import SimHost
import Testing

@testable import SecureBlock

/// What salvage has to go by, where superblocks and roots say nothing or too much.
@Suite struct SalvageSourceTests {
    private func image() throws -> SparseBytes { try SalvageSubject(seed: 3, isClosed: true, openings: 1).image }

    private func source(_ image: SparseBytes, segmentBytes: Int? = nil) throws -> SalvageSource {
        try SalvageSource(
            MemoryBlockHost(contents: image), credential: DeviceTesting.keyFile(), segmentBytes: segmentBytes)
    }

    /// A size of segments that somebody says must be one that the records fit.
    @Test func segmentSizesThatAreTold() throws {
        var image = try image()
        SalvageSubject.destroy(&image, Layout.superblocks)
        #expect(try source(image, segmentBytes: 16 * blockBytes).geometry.segmentBlocks == 16)
        for bytes in [12345, 64 * blockBytes] {
            #expect(
                throws: VolumeError.unsuitableOptions("segments of \(bytes) bytes: the records fit those of 65536")
            ) {
                try source(image, segmentBytes: bytes)
            }
        }
        // The first segment is where it is at any size.
        let start = Int(Layout.firstSegmentBlock(segmentBlocks: 16) + 16)
        let rest = (start..<image.byteCount / blockBytes).map { UInt64($0) }
        SalvageSubject.destroy(&image, rest)
        #expect(try source(image).geometry.segmentBlocks == 16)
        #expect(try source(image, segmentBytes: 64 * blockBytes).geometry.segmentBlocks == 64)
    }

    /// A file that ends before the first segment, whatever its roots say.
    @Test(arguments: [0, 1, 15]) func filesThatEndBeforeTheirLog(blocks: UInt64) throws {
        var image = try image()
        let first = Layout.firstSegmentBlock(segmentBlocks: 16)
        image.truncate(to: Int(first + blocks) * blockBytes)
        let found = (first + blocks) * UInt64(blockBytes), expected = (first + 16) * UInt64(blockBytes)
        #expect(throws: VolumeError.truncated(expectedBytes: expected, foundBytes: found)) { try source(image) }
    }

    /// Key slots of another volume, more than there are of this one: its own is found, and nothing is read under others.
    @Test func keySlotsOfAnotherVolume() throws {
        var image = try image()
        let other = MemoryBlockHost()
        try SecureDevice.create(on: other, DeviceTesting.options(blocks: 60), credential: DeviceTesting.keyFile(9))
        let device = try SecureDevice.open(other, credential: DeviceTesting.keyFile(9))
        let slot = AlignedBuffer(byteCount: blockBytes)
        for number in 1...2 {
            #expect(try device.addKeySlot(DeviceTesting.keyFile(UInt8(20 + number))) == number)
            other.contents.read(Int(Layout.keySlot(number)) * blockBytes, into: slot.bytes)
            image.write(Int(Layout.keySlot(number)) * blockBytes, UnsafeRawBufferPointer(slot.bytes))
        }
        SalvageSubject.destroy(&image, Layout.superblocks + SalvageSubject.roots)
        let found = try source(image)
        #expect(!found.hasSuperblock && found.roots.isEmpty && found.geometry.segmentBlocks == 16)
        #expect(throws: VolumeError.wrongCredential) {
            try SalvageSource(
                MemoryBlockHost(contents: image), credential: DeviceTesting.keyFile(30), segmentBytes: nil)
        }
        let run = try SalvageRun(image, anchor: nil)
        #expect(run.report.recoveredBlocks > 0)
    }

    /// Without superblocks, only records tell the size of segments: those that lie where they say.
    @Test func recordsThatWereMoved() throws {
        var image = try image()
        SalvageSubject.destroy(&image, Layout.superblocks + SalvageSubject.roots)
        let first = Int(Layout.firstSegmentBlock(segmentBlocks: 16)), last = image.byteCount / blockBytes - 1
        let header = AlignedBuffer(byteCount: blockBytes)
        image.read(first * blockBytes, into: header.bytes)
        try #require(ClearRecordHeader(UnsafeRawBufferPointer(header.bytes)) != nil)
        SalvageSubject.destroy(&image, (first...last).map { UInt64($0) })
        image.write(last * blockBytes, UnsafeRawBufferPointer(header.bytes))
        #expect(throws: VolumeError.superblocksDamaged) { try source(image) }
        image.write(first * blockBytes, UnsafeRawBufferPointer(header.bytes))
        #expect(try source(image).geometry.segmentBlocks == 16)
        #expect(throws: VolumeError.empty) { try source(SparseBytes()) }
    }
}
