import Foundation
import Testing

@testable import SecureBlock

/// What is free goes back to the host, on request.
@Suite struct DeviceSpaceReturnTests {
    /// On a real file: discarded data frees its space there, and the volume takes as much again, also when opened without
    /// the option: what was given back is asked for once more before anything is sealed for it (I4).
    @Test func discardedSpaceIsReturnedAndTakenAgain() throws {
        let scratch = try Scratch()
        let path = scratch.file("volume")
        let blocks: UInt64 = 4096
        let created = try FileBlockHost.create(path: path)
        try DeviceTesting.create(created, blocks: blocks, segmentBlocks: 64)
        created.close()

        var device = try open(path, returnsFreeSpace: true)
        for block in 0..<blocks { try DeviceTesting.writeWithCommits(device, block, block + 1) }
        try device.commit().wait()
        let full = try allocated(path)
        #expect(full > blocks * UInt64(blockBytes))
        try device.discard(LogicalBlock(0), count: blocks - 1)
        // History ends with one checkpoint's roots, and the space goes with the next.
        for value: UInt64 in 0..<6 {
            try DeviceTesting.write(device, 0, value)
            device.monitor.locked { device.log.checkpointWanted = true }
            try device.commit().wait()
        }
        let emptied = try allocated(path)
        #expect(emptied < full / 2, "\(emptied) of \(full) bytes")
        try device.checkInvariants()
        try device.close()

        device = try open(path, returnsFreeSpace: false)
        #expect(try DeviceTesting.holds(device, blocks - 1, blocks))
        for block in 0..<blocks { try DeviceTesting.writeWithCommits(device, block, block + 2) }
        try device.commit().wait()
        for block in 0..<blocks { #expect(try DeviceTesting.holds(device, block, block + 2)) }
        #expect(try allocated(path) >= full / 10 * 9)
        try device.checkInvariants()
        try device.close()
    }

    private func open(_ path: String, returnsFreeSpace: Bool) throws -> SecureDevice {
        try DeviceTesting.open(
            FileBlockHost.open(path: path), checkpointInterval: 1 << 20, returnsFreeSpace: returnsFreeSpace)
    }

    /// Bytes that the file takes on its filesystem.
    private func allocated(_ path: String) throws -> UInt64 {
        var facts = stat()
        #expect(stat(path, &facts) == 0)
        return UInt64(facts.st_blocks) * 512
    }
}
