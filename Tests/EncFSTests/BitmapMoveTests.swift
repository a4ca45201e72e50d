import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// Past 128 GiB the group table takes another block, and every bitmap stands one block further.
@Suite struct BitmapMoveTests {
    private let small = 1000 * Superblock.groupBlocks
    private let large = 1100 * Superblock.groupBlocks

    private func check(_ device: SimBlockDevice) throws {
        #expect(try findings(device, readData: false) == [])
    }

    @Test func bitmapsMoveWithTheSize() throws {
        let device = SimBlockDevice(blocks: large)
        var format = EncFS.FormatOptions()
        format.nodeBytes = 4096
        try device.resize(toBlocks: small)
        try EncFS.format(device, format)
        try device.resize(toBlocks: large)
        let files = try EncFS(mounting: device, .quiet)
        let bytes = pattern(300_000, seed: 4)
        try files.write(bytes, to: try files.make("a"), at: 0)
        try files.allocate(try files.make("wide"), .none, 0..<1 << 30, .allocate)
        try files.sync()
        let first = try EncFS.readSuperblock(device)
        try files.resize(toBlocks: large)
        let second = try EncFS.readSuperblock(device)
        #expect(first.tableBlocks == 1 && second.tableBlocks == 2)
        #expect(try files.read(try files.find("a"), count: bytes.count) == bytes)
        try check(device)
        try files.resize(toBlocks: small)
        #expect(try EncFS.readSuperblock(device).bitmapStart == first.bitmapStart)
        #expect(try files.read(try files.find("a"), count: bytes.count) == bytes)
        try files.remove(Name("wide"), in: files.root, .nonDirectory)
        try files.close()
        try check(device)
        let again = try EncFS(mounting: device.crash(), .quiet)
        #expect(try again.read(try again.find("a"), count: bytes.count) == bytes)
    }

    /// Every commit on the way is a whole filesystem of one size or the other.
    @Test func everyCommitOnTheWayIsSound() throws {
        let device = SimBlockDevice(blocks: large)
        try device.resize(toBlocks: small)
        try EncFS.format(device, EncFS.FormatOptions())
        try device.resize(toBlocks: large)
        let files = try EncFS(mounting: device, .quiet)
        try files.write(pattern(9000, seed: 1), to: try files.make("a"), at: 0)
        try files.sync()
        let before = device.commits.count
        try files.resize(toBlocks: large)
        try files.resize(toBlocks: small)
        #expect(device.commits.count > before + 1)
        for commit in device.commits.dropFirst(before) {
            let copy = try #require(device.crash(at: commit))
            try check(copy)
            let opened = try EncFS(mounting: copy, .quiet)
            #expect([small, large].contains(opened.blockCount))
            #expect(try opened.read(try opened.find("a"), count: 9001) == pattern(9000, seed: 1))
        }
    }
}
