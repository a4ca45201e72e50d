import SimHost
import Testing

@testable import SecureBlock

/// Stores that nothing can be made of: closed, empty, full of something else, or shorter than what is asked of them.
@Suite struct UnusableStoreTests {
    private let key = Result { try DeviceTesting.keyFile() }

    private func outcome(_ body: () throws -> Void) -> (any Error)? {
        do { try body() } catch { return error }
        return nil
    }

    private func salvage(_ host: any BlockHost, segmentBytes: Int? = nil) throws {
        var options = Salvage.Options()
        options.segmentBytes = segmentBytes
        _ = try Salvage.run(
            host, credential: key.get(), to: MemoryBlockHost(), newCredential: key.get(), options: options)
    }

    @Test func closedHosts() throws {
        let host = CrashHost()
        try DeviceTesting.create(host, blocks: 60)
        host.close()
        let works: [() throws -> Void] = [
            { _ = try DeviceTesting.open(host) },
            { try DeviceTesting.create(host, blocks: 60) },
            { _ = try DeviceTesting.findings(host) },
            { try self.salvage(host) },
            {
                _ = try VolumeRepair.open(
                    host, credential: self.key.get(), anchor: nil, findings: [], announce: { _ in })
            },
        ]
        for work in works { #expect(outcome(work) as? VolumeError == .host(.closed)) }
        #expect(outcome { _ = try ImageWriter(on: host, blockCount: 5) } as? ImageError == .host(.closed))
        #expect(outcome { _ = try ImageDevice.open(host, root: .asFound) } as? ImageError == .host(.closed))
    }

    @Test func emptyStores() throws {
        #expect(outcome { try salvage(MemoryBlockHost()) } as? VolumeError == .empty)
        #expect(outcome { _ = try DeviceTesting.open(MemoryBlockHost()) } as? VolumeError == .empty)
        #expect(outcome { _ = try ImageDevice.open(MemoryBlockHost(), root: .asFound) } as? ImageError == .empty)
        #expect(try !ImageDevice.isImage(MemoryBlockHost()))
    }

    @Test func storesInUse() throws {
        let host = MemoryBlockHost()
        try host.write(at: 0, UnsafeRawBufferPointer(AlignedBuffer(byteCount: blockBytes).bytes))
        host.tamper { SalvageSubject.destroy(&$0, [0]) }
        #expect(outcome { try DeviceTesting.create(host, blocks: 60) } as? VolumeError == .notEmpty)
        // An anchor, too, is for one volume.
        let anchor = MemoryAnchor()
        try DeviceTesting.create(MemoryBlockHost(), blocks: 60, anchor: anchor)
        let failure = outcome { try DeviceTesting.create(MemoryBlockHost(), blocks: 60, anchor: anchor) }
        guard case VolumeError.anchorUnavailable? = failure else {
            Issue.record("\(failure.map { "\($0)" } ?? "no error")")
            return
        }
    }

    @Test(arguments: [0, 100, 4096 * 3, 1 << 62] as [UInt64]) func unsuitableSizes(bytes: UInt64) throws {
        var options = VolumeOptions(logicalBytes: bytes)
        if bytes == 4096 * 3 { options.segmentBytes = 5 << 12 }
        let failure = outcome { try SecureDevice.create(on: MemoryBlockHost(), options, credential: key.get()) }
        guard case VolumeError.unsuitableOptions? = failure else {
            Issue.record("\(failure.map { "\($0)" } ?? "no error")")
            return
        }
    }

    /// Segments grow with the volume.
    @Test(arguments: [(8 << 20, 4 << 20), (2 << 40, 8 << 20)] as [(UInt64, Int)])
    func segmentsThatNobodyChose(bytes: UInt64, segmentBytes: Int) throws {
        let host = MemoryBlockHost()
        try SecureDevice.create(on: host, VolumeOptions(logicalBytes: bytes), credential: key.get())
        #expect(try SuperblockCopies(host).first.superblock.segmentBlocks * blockBytes == segmentBytes)
    }

    /// Without superblocks the size of segments is found, or taken from whoever knows it.
    @Test func segmentsOfALostVolume() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60)
        let device = try DeviceTesting.open(host)
        for block: UInt64 in 0..<60 { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        try device.close()
        var image = host.contents
        SalvageSubject.destroy(&image, Layout.superblocks + Layout.rootSlots)
        let lost = MemoryBlockHost(contents: image)
        #expect(outcome { try salvage(lost, segmentBytes: 16 * blockBytes) } == nil)
        #expect(
            outcome { try salvage(lost, segmentBytes: 12345) } as? VolumeError
                == .unsuitableOptions("segments of 12345 bytes: the records fit those of 65536"))
        var short = image
        short.truncate(to: 200 * blockBytes)
        #expect(outcome { try salvage(MemoryBlockHost(contents: short)) } is VolumeError)
    }
}
