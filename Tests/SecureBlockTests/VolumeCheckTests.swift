import SimHost
import Testing

@testable import SecureBlock

/// What a check says of what is sound in itself and not as it was left.
@Suite struct VolumeCheckTests {
    private func kinds(
        _ host: any BlockHost, anchor: (any Anchor)? = nil, acceptsMissingAnchor: Bool = false
    ) throws -> [String] {
        var options = VolumeCheck.Options()
        options.acceptsMissingAnchor = acceptsMissingAnchor
        var kinds: [String] = []
        _ = try withoutActuallyEscaping({ (finding: VolumeFinding) in kinds.append(finding.kind) }) { report in
            try VolumeCheck.run(
                host, credential: DeviceTesting.keyFile(), anchor: anchor, options: options, progress: { _, _ in },
                report: report)
        }
        return kinds
    }

    /// Without its anchor the check cannot tell how old the volume is, and says that it did not.
    @Test func anAnchorThatIsNotGiven() throws {
        let host = MemoryBlockHost(), anchor = MemoryAnchor()
        try DeviceTesting.create(host, blocks: 60, anchor: anchor)
        try DeviceTesting.open(host, anchor: anchor).close()
        let closed = MemoryBlockHost(contents: host.contents)
        #expect(try kinds(closed) == ["anchor-not-given"])
        #expect(try kinds(closed, acceptsMissingAnchor: true) == [])
        #expect(try kinds(closed, anchor: anchor) == [])
        let free = MemoryBlockHost()
        try DeviceTesting.create(free, blocks: 60)
        #expect(try kinds(free) == ["no-anchor"])
    }

    /// A key slot of another time, put back by the host: in the place of an empty one it is a note, in another's place it
    /// keeps somebody out. Repair leaves it to whoever knows; the volume opens with the others.
    @Test func keySlotsOfAnotherTime() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60)
        let device = try DeviceTesting.open(host)
        let slot = try device.addKeySlot(DeviceTesting.keyFile(8))
        let offset = Layout.keySlot(slot) * UInt64(blockBytes)
        let first = AlignedBuffer(byteCount: blockBytes)
        try host.read(at: offset, into: first.bytes)
        try device.removeKeySlot(slot)
        let emptied = host.contents
        #expect(try device.addKeySlot(DeviceTesting.keyFile(9)) == slot)
        try device.close()

        var back = emptied
        back.write(Int(offset), UnsafeRawBufferPointer(first.bytes))
        #expect(try kinds(MemoryBlockHost(contents: back)).contains("key-slot-unbound"))
        var replaced = host.contents
        replaced.write(Int(offset), UnsafeRawBufferPointer(first.bytes))
        let damaged = MemoryBlockHost(contents: replaced)
        #expect(try kinds(damaged).contains("key-slot-replaced"))
        let repair = try VolumeRepair.open(
            damaged, credential: DeviceTesting.keyFile(), anchor: nil, findings: []
        ) { _ in }
        try repair.finish()
        #expect(repair.left.count == 1 && repair.left[0].contains("not the one last written"))
        for byte in [8, 9] as [UInt8] {
            #expect(throws: VolumeError.self) {
                try SecureDevice.open(
                    MemoryBlockHost(contents: damaged.contents), credential: DeviceTesting.keyFile(byte))
            }
        }
    }
}
